"""What is said never ends a run: streams that refuse, at the terminal and beside it."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmbench.cli.compose import compose
from llmbench.cli.main import main
from llmbench.report.terminal_table import print_table
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.run.progress import Progress
from llmbench.system.console import Terminal
from llmbench.system.stdio import flush, unfailing
from tests.helpers.commands import ENVIRONMENT, python

pytestmark = pytest.mark.slow

RUN = ("engine=fake", "benchmark=arithmetic", "limit=5", "report=false")


class Full(io.StringIO):
    """A stream to a full disk."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_stream_that_refuses_is_written_to_all_the_same() -> None:
    for stream in (Full(), None, io.TextIOWrapper(io.BytesIO(), "ascii")):
        heard = unfailing(stream)
        assert heard.write("Größe") == 5
        heard.flush()
        assert not heard.isatty()
        assert unfailing(heard) is heard
    closed = io.StringIO()
    closed.close()
    unfailing(closed).write("a")


def test_a_run_continues_when_nothing_that_it_says_is_taken(tmp_path: Path) -> None:
    terminal = Terminal(Full(), Full())
    found = pipeline.run(compose(RUN), tmp_path / "run", RunOptions(terminal=terminal))
    assert (found.status, found.benchmarks["arithmetic"].n) == ("finished", 5)
    print_table(terminal, found, "run")
    with Progress(terminal, {"b": 2}) as progress:
        progress.note(10)
        progress.show()


def test_the_command_line_continues_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    assert main([*RUN, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert main([*RUN, f"hydra.run.dir={tmp_path / 'run'}"]) == 1  # which is complained of
    flush()


@pytest.mark.parametrize("closed", ["| true", "> /dev/full", "> /dev/full 2>&1"])
def test_streams_that_nobody_reads_cost_neither_run_nor_export_nor_status(
    tmp_path: Path, closed: str
) -> None:
    arguments = " ".join((*RUN, "hydra.run.dir=run", "export=[csv]"))
    command = f"set -o pipefail; {sys.executable} -m llmbench {arguments} {closed}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(word in done.stderr for word in ("Traceback", "Exception ignored", "Error"))
    assert (tmp_path / "run" / "samples.csv").is_file()


@pytest.mark.parametrize("closing", ["sys.{} = None", "sys.{}.close()"])
def test_a_program_without_streams_is_served_too(tmp_path: Path, closing: str) -> None:
    lines = [
        "import os, sys, llmbench, llmbench.compare, llmbench.runs",
        *(closing.format(name) for name in ("stdout", "stderr")),
        "run = llmbench.evaluate('arithmetic', engine='fake', limit=2, report=False, folder='run')",
        "found = [len(run.results), llmbench.runs.main(['.']), llmbench.compare.main(['a', 'b'])]",
        "open('found', 'w').write(str(found))",
    ]
    (tmp_path / "program.py").write_text("\n".join(lines))
    done = python("program.py", folder=tmp_path)
    assert (tmp_path / "found").read_text() == "[2, 0, 1]", done.stderr


def test_a_program_that_closed_its_descriptors_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, llmbench\nerrors = os.dup(2)\nos.close(1)\n"
        "try:\n    llmbench.evaluate('arithmetic', engine='fake', limit=2)\n"
        "except llmbench.errors.RunError as error:\n    os.write(errors, str(error).encode())\n"
    )
    assert "has closed its file descriptor 1" in python("program.py", folder=tmp_path).stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_refused_before_anything_is_written(tmp_path: Path, closed: str) -> None:
    command = f"{sys.executable} -m llmbench {' '.join(RUN)} hydra.run.dir=run {closed}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert ("is closed; use </dev/null" in done.stderr) is ("2>" not in closed)
    assert list(tmp_path.iterdir()) == []
