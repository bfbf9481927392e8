"""Killed and stopped: the real engine in processes of its own. `python -m pytest tests/bench/vllm_faults.py`, as `make bench` does.

Of one run a process is killed, then another, and a third is stopped; it ends with the same scores as one that nobody disturbed.
"""

import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from llmbench.results.manifest import JOURNAL, LOG, TRACE
from llmbench.results.reader import Run, load_run
from llmbench.telemetry import read_trace
from tests.helpers.commands import LIMIT_S, lines_in, llmbench_program, start_llmbench, wait_until
from tests.helpers.families import all_end, command_lines, descendants, kill_and_look
from tests.helpers.installed import needs
from tests.helpers.runs import outcomes

pytestmark = [needs("vllm"), pytest.mark.real_engine]

SETTINGS = (
    "engine.device=cpu",
    "model.dtype=float32",  # so that rounding decides no token, whatever runs beside it
    "model.max_length=512",
    "limit=16",
    "early_stopping=off",
    "benchmarks.arithmetic.max_tokens=24",
    "hydra.run.dir=run",
)
CRAMPED = ("engine.multiprocess=true", "batch_size=8", f"engine.kv_cache_memory_bytes={32 << 20}")
"""A KV cache with room for a part of the batch: five blocks of 128 tokens."""
WAIT_S = 30
"""Far more than a step takes, on a busy machine too."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Run:
    assert smollm2.is_dir()
    folder = tmp_path_factory.mktemp("undisturbed")
    done = llmbench_program(*SETTINGS, folder=folder)
    assert done.returncode == 0, done.stderr
    return load_run(folder / "run")


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """The temporary folder of the run, which has a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def sockets(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_socket()]


class Disturbed:
    """A run whose engine was killed twice and stopped once: its folder, what it said, and all processes that it had."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.said, self.family = folder / "run", folder / "said", set[psutil.Process]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VLLM_LOG_STATS_INTERVAL", "0.1")
            patch.setenv("TMPDIR", str(temporary))
            settings = (*SETTINGS, *CRAMPED, "log_level=INFO", f"engine_wait_s={WAIT_S}")
            process = start_llmbench(folder, *settings, errors=self.said)
        for finished, victim, number in (
            (1, "EngineCore", signal.SIGKILL),
            (5, "Worker", signal.SIGKILL),
            (9, "EngineCore", signal.SIGSTOP),
        ):
            wait_until(lambda least=finished: lines_in(self.folder / JOURNAL) >= least, process)  # type: ignore[misc]
            self.had_sockets = bool(sockets(temporary))
            family = descendants(process)
            self.family |= set(family)
            (chosen,) = [member for member in family if victim in command_lines([member])]
            chosen.send_signal(number)
            if number == signal.SIGKILL:
                wait_until(lambda gone=chosen: not gone.is_running(), process)  # type: ignore[misc]
        self.status = process.wait(2 * LIMIT_S)


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, undisturbed: Run, temporary: Path) -> Disturbed:
    assert undisturbed.results
    return Disturbed(tmp_path_factory.mktemp("disturbed"), temporary)


def test_processes_that_die_or_hang_cost_no_answer(disturbed: Disturbed, undisturbed: Run) -> None:
    assert disturbed.status == 0, disturbed.said.read_text()
    run = load_run(disturbed.folder)
    assert run.summary["status"] == "finished"
    assert run.summary["engine"]["loads"] == 4
    ids = [result.sample_id for result in run.results]
    assert len(ids) == len(set(ids)) == 16
    assert outcomes(run) == outcomes(undisturbed)
    scores = [one.summary["benchmarks"]["arithmetic"]["accuracy"] for one in (run, undisturbed)]
    assert scores[0] == scores[1]


def test_each_restart_is_reported_with_its_cause(disturbed: Disturbed) -> None:
    restarts = load_run(disturbed.folder).manifest["restarts"]
    assert len(restarts) == 3
    assert all(0 < restart["running"] <= 9 and not restart["fresh"] for restart in restarts)
    assert ["did not answer" in restart["error"] for restart in restarts] == [False, False, True]
    said = disturbed.said.read_text()
    assert "it is given up" in said
    assert f"did not answer for {WAIT_S} s (engine_wait_s) and was killed" in said


def test_nothing_of_the_engines_is_left(disturbed: Disturbed, temporary: Path) -> None:
    all_end(list(disturbed.family))
    assert disturbed.had_sockets
    assert not sockets(temporary)


def test_running_and_waiting_are_what_vllm_logs(disturbed: Disturbed) -> None:
    lines = re.findall(r"Running: (\d+) reqs, Waiting: (\d+) reqs", (disturbed.folder / LOG).read_text())
    logged = {(int(running), int(waiting)) for running, waiting in lines}
    states = [s.engine for s in read_trace(disturbed.folder / TRACE) if s.engine is not None]
    seen = {(s.running, s.waiting) for s in states if s.running}
    assert any(waiting for _, waiting in logged)
    assert {pair for pair in seen & logged if pair[1]}
    assert max(s.running or 0 for s in states) < 8
    assert max(s.queued or 0 for s in states) > 0


@pytest.mark.parametrize(
    ("moment", "kin"),
    [
        ("loads", ("EngineCore",)),
        ("asks", ("EngineCore", "Worker")),
    ],
)
def test_nothing_of_the_engine_outlives_a_killed_run(
    tmp_path: Path, smollm2: Path, moment: str, kin: tuple[str, ...]
) -> None:
    assert smollm2.is_dir()
    process = start_llmbench(
        tmp_path,
        "hydra.run.dir=run",
        "engine.multiprocess=true",
        "engine.device=cpu",
        "limit=40",
        "batch_size=2",
        errors=tmp_path / "said",
    )
    moments: dict[str, Callable[[], object]] = {
        "loads": lambda: "Worker" in command_lines(descendants(process)),
        "asks": lambda: lines_in(tmp_path / "run" / JOURNAL),
    }
    wait_until(moments[moment], process)
    assert all(name in command_lines(descendants(process)) for name in kin)
    kill_and_look(process, at_least=3)
