"""The example notebook, run by a kernel of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbclient
import nbformat

from tests.helpers.commands import ENVIRONMENT, LIMIT_S
from tests.helpers.paths import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "evaluate.ipynb"
PARAMETERS = "SETTINGS = "
"""How the cell begins whose settings are replaced."""


def executed(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Runs the example's cells in a folder with other settings; returns the text that each code cell shows."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (parameters,) = [cell for cell in code if cell.source.startswith(PARAMETERS)]
    parameters.source = f"{PARAMETERS}{dict(settings)!r}"
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    client = nbclient.NotebookClient(
        notebook, timeout=int(LIMIT_S), resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=variables | ENVIRONMENT)
    return ["".join(map(_text, cell.outputs)) for cell in code]


def _text(output: Mapping[str, Any]) -> str:
    return str(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])
