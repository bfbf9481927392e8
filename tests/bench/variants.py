"""What benches share that measure each of several ways in a process of its own: their command lines, those processes, and the line about the machine."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmbench.config.choices import Startup
from llmbench.system.hardware import gpus


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of a bench of this package, with the model, the engine, the weights and llmbench's settings."""
    made = argparse.ArgumentParser(
        prog=f"python -m tests.bench.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", nargs="?", metavar="MODEL_DIR", help="a checkpoint; with --engine fake none")
    made.add_argument("settings", nargs="*", help="as on llmbench's command line")
    made.add_argument("--engine", choices=("vllm", "fake"), default="vllm")
    made.add_argument("--weights", choices=("bf16", "fp8"), default="bf16", help="fp8: made at load")
    made.add_argument(
        "--into", type=Path, metavar="FILE", help="one way, in this process; FILE gets what it measured"
    )
    return made


def add_long_outputs(made: argparse.ArgumentParser, requests: int) -> None:
    """Adds the options of the workload of `long_outputs`, and of the KV cache and the start-up that it runs with."""
    made.add_argument("--kv-cache", choices=("auto", "fp8"), default="auto")
    made.add_argument("--startup", choices=[each.value for each in Startup], default="graphs")
    made.add_argument("--requests", type=int, default=requests)
    made.add_argument("--longest", type=int, default=8192, metavar="TOKENS", help="of an output")
    made.add_argument("--rounds", type=int, default=1)


def parsed(made: argparse.ArgumentParser) -> argparse.Namespace:
    """What was typed; without a model the first word may be a setting."""
    options = made.parse_intermixed_args()
    if options.model is not None and "=" in options.model:
        options.model, options.settings = None, [options.model, *options.settings]
    if (options.model is None) == (options.engine == "vllm"):
        made.error("name a model, or --engine fake")
    return options


def in_own_process(
    what: str, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Any:  # noqa: ANN401 - JSON
    """Runs a module with these arguments and `--into FILE`, and returns what it wrote there; ends this program where it fails.

    Args:
        what: Names it in the message.
        module: Of this package.
        arguments: Of its command line.
        environment: Variables beside those of this process.
    """
    with tempfile.TemporaryDirectory() as folder:
        into, said = Path(folder) / "found.json", Path(folder) / "said"
        command = [sys.executable, "-m", f"tests.bench.{module}", *arguments, "--into", str(into)]
        with said.open("wb") as log:
            variables = os.environ | (environment or {})
            status = subprocess.run(command, stdout=log, stderr=log, env=variables, check=False).returncode
        if status or not into.exists():
            raise SystemExit(
                f"{what} ended with status {status}:\n{said.read_text(errors='replace')[-4000:]}"
            )
        return json.loads(into.read_text())


def machine() -> str:
    """The machine, its Python, and today's date."""
    what = ", ".join(gpu.name for gpu in gpus()) or f"{os.cpu_count()} cores"
    return f"{platform.platform()}, {what}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
