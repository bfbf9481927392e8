"""Several runs in one process, which imports vLLM once: `python -m tests.helpers.several_runs FILE`.

FILE is a JSON object from names to the arguments of the command line. Each run's exit status and output go to NAME.json and NAME.txt.
A name that begins with "program" is run as a program does, with `pipeline.run` and no terminal, into a folder of that name.
One that begins with "check" is no run: its arguments are a module and what its function `main` takes.
"""

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.run import pipeline
from tests.helpers.commands import LIMIT_S, python
from tests.helpers.found_once import found_once
from tests.helpers.settings import files_read_once
from tests.helpers.shared_graders import shared_graders


@dataclass(frozen=True)
class SeveralRuns:
    """What they left in their folder."""

    folder: Path

    def output(self, name: str) -> str:
        """What a run printed; fails where it did not end well."""
        said = (self.folder / f"{name}.txt").read_text()
        assert json.loads((self.folder / f"{name}.json").read_text())["status"] == 0, said
        return said

    def path(self, name: str, *below: str) -> Path:
        """The folder of a run that ended well, or one below."""
        self.output(name)
        return self.folder.joinpath(name, *below)


def run_all(folder: Path, runs: Mapping[str, Sequence[str]]) -> SeveralRuns:
    """Runs them one after the other, in one process; `hydra.run.dir` and `hydra.sweep.dir` are their names."""
    named = {
        name: arguments
        if name.startswith("check")
        else [*arguments, f"hydra.{'sweep' if '-m' in arguments else 'run'}.dir={name}"]
        for name, arguments in runs.items()
    }
    (folder / "runs.json").write_text(json.dumps(named))
    done = python("-m", __name__, "runs.json", folder=folder, limit_s=LIMIT_S * len(runs))
    assert done.returncode == 0, done.stderr
    return SeveralRuns(folder)


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """What this process and its libraries print goes into a file."""
    before = [os.dup(1), os.dup(2)]
    with path.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, saved in enumerate(before, 1):
                os.dup2(saved, number)
                os.close(saved)


@contextmanager
def imports_frozen() -> Iterator[None]:
    """Inside, the garbage collector passes over what is there now.

    Each engine has it look at everything five times, and vLLM's and torch's modules alone take it half a second.
    What comes later stays collectable: vLLM freezes an engine's objects itself, and thaws all, the modules among them.
    """
    gc.collect()
    gc.freeze()
    with patch.object(gc, "freeze", lambda: None), patch.object(gc, "unfreeze", lambda: None):
        yield


def _run(name: str, arguments: list[str]) -> int:
    try:
        if name.startswith("program"):
            pipeline.run(compose(arguments[:-1]), Path(name))
            return 0
        if name.startswith("check"):
            import_module(arguments[0]).main(*arguments[1:])
            return 0
        return main(arguments)
    except BaseException:  # noqa: BLE001 - the runs after it are others' business
        traceback.print_exc()
        return 1


def _run_each(runs: Mapping[str, list[str]]) -> None:
    """The first run imports; the others find what it imported."""
    with ExitStack() as stack:
        for number, (name, arguments) in enumerate(runs.items()):
            if number == 1:
                stack.enter_context(imports_frozen())
            begun = time.monotonic()
            with _output_to(Path(f"{name}.txt")):
                status = _run(name, arguments)
            Path(f"{name}.json").write_text(
                json.dumps({"status": status, "seconds": time.monotonic() - begun})
            )


if __name__ == "__main__":
    with shared_graders(), files_read_once(), found_once():
        _run_each(json.loads(Path(sys.argv[1]).read_text()))
