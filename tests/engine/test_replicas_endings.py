"""However a run with replicas ends, nothing of Ray stays; three runs that end at the same time."""

import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from llmbench.engine.replicas import cleaner
from llmbench.results.reader import load_run
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.families import all_end, descendants
from tests.helpers.replicas import TWO, nothing_stays, ray_folder

pytestmark = pytest.mark.slow

STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
LONG = ("limit=100", "sampling.repeats=20", "batch_size=2", "engine.args={step_s: 0.05}")


def _has_answers(run: Path) -> bool:
    return lines_in(run / "samples.jsonl") > 4


@dataclass(frozen=True)
class Ended:
    """A run that a signal ended, with what it had started before."""

    status: int
    run: Path
    folder: str
    family: list[psutil.Process]


def test_no_process_and_no_folder_stays(tmp_path: Path) -> None:
    """One test, since to start Ray three times side by side takes little longer than once."""
    started, found = dict[signal.Signals, subprocess.Popen[str]](), dict[signal.Signals, Ended]()
    try:
        for sign in STATUS:
            (folder := tmp_path / sign.name).mkdir()
            started[sign] = start_llmbench(folder, "hydra.run.dir=run", *TWO, *LONG, errors=folder / "said")
        for sign, process in started.items():
            run = tmp_path / sign.name / "run"
            wait_until(partial(_has_answers, run), process)
            ray = ray_folder(process.pid)
            assert ray is not None
            family = descendants(process) + cleaner.users_of(ray)
            process.send_signal(sign)
            found[sign] = Ended(process.wait(60), run, ray, family)
    finally:
        for process in started.values():
            process.kill()
            process.wait()
    for sign, status in STATUS.items():
        assert found[sign].status == status
        assert len(found[sign].family) > 8
        all_end(found[sign].family)
        nothing_stays(found[sign].folder)
    for sign in (signal.SIGTERM, signal.SIGINT):
        assert load_run(found[sign].run).summary["status"] == "interrupted"


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_start_that_is_cut_short_leaves_nothing(tmp_path: Path, sign: signal.Signals, status: int) -> None:
    """Ray has handlers of its own while it starts."""
    process = start_llmbench(tmp_path, "hydra.run.dir=run", *TWO, *LONG, errors=tmp_path / "said")
    try:
        wait_until(lambda: ray_folder(process.pid), process)
        folder = ray_folder(process.pid)
        assert folder is not None
        family = descendants(process)
        process.send_signal(sign)
        assert process.wait(60) == status, (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()
    all_end(family)
    nothing_stays(folder)
    assert not lines_in(tmp_path / "run" / "samples.jsonl")
