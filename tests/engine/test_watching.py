"""Engines that hang without dying: who is told, what is killed, and how a run ends that nothing else can end."""

import io
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from llmbench.engine.fake import FakeEngine, Hang, Misbehaviour, nonsense
from llmbench.engine.watching import END_S, Watch
from llmbench.errors import ConfigError, EngineDiedError
from llmbench.records import Completion, Outcome
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import load_run
from llmbench.run import pipeline
from llmbench.run.options import RunOptions
from llmbench.system.console import Terminal
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.engines import FakeEngines
from tests.helpers.families import all_end, descendants
from tests.helpers.runs import outcomes
from tests.helpers.settings import compose

pytestmark = pytest.mark.slow

FAKE = ("benchmark=arithmetic", "engine=fake", "limit=24", "batch_size=8", "engine_wait_s=1")


class Silent(FakeEngine):
    """Takes so many seconds for a step, at each of which it is looked at."""

    def __init__(self, watch: Watch, seconds: Sequence[float], *, apart: bool) -> None:
        super().__init__()
        self.watch, self.seconds, self.apart = watch, seconds, apart
        self.killed, self.left = list[str](), list[str]()

    def step(self) -> list[Completion]:
        for passed_s in self.seconds:
            self.watch.look(passed_s, self.left.append)
        return []

    def kill(self, reason: str) -> bool:
        if self.apart:
            self.killed.append(reason)
        return self.apart


def silent(*seconds: float, apart: bool, limit_s: float | None = 100) -> tuple[Silent, list[str]]:
    said: list[str] = []
    watch = Watch(limit_s, said.append)
    engine = Silent(watch, seconds, apart=apart)
    assert watch.step(engine) == []
    return engine, said


def test_half_a_silence_is_reported_once_and_ends_nothing() -> None:
    engine, said = silent(20, 10, 30, 39, apart=True)
    assert said == ["The engine has not answered for 30 s; after 100 s (engine_wait_s) it is given up."]
    assert not engine.killed
    assert not engine.left


def test_at_the_limit_the_processes_are_killed_and_nobody_leaves() -> None:
    engine, _ = silent(30, 70, END_S - 1, apart=True)
    assert engine.killed == ["The engine did not answer for 100 s (engine_wait_s) and was killed."]
    assert not engine.left


def test_a_step_that_continues_without_its_processes_is_left() -> None:
    engine, _ = silent(100, END_S, 500, 500, apart=True)
    assert len(engine.killed) == len(engine.left) == 1
    assert "went on when its processes were killed" in engine.left[0]


def test_an_engine_of_this_process_is_left_once() -> None:
    engine, _ = silent(99, 1, 500, apart=False)
    assert engine.left == ["The engine did not answer for 100 s (engine_wait_s)"]


def test_without_a_limit_nothing_is_ever_done() -> None:
    engine, said = silent(1e9, apart=True, limit_s=None)
    assert not said
    assert not engine.killed


def test_only_the_time_within_one_step_counts() -> None:
    said, left = list[str](), list[str]()
    watch = Watch(100, said.append)
    engine = Silent(watch, [20], apart=False)
    for _ in range(10):
        watch.step(engine)
        watch.look(1000, left.append)
    assert not said
    assert not left
    assert not engine.left


def test_nobody_to_inform_ends_no_watch() -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    hang, left = Hang(after=0), threading.Event()
    watch, engine = Watch(0.2, closed), FakeEngine(misbehaviour=Misbehaviour(hang=hang))

    def leave(_: str) -> None:
        left.set()
        hang.killed.put("enough")

    with watch.looking(leave), pytest.raises(EngineDiedError, match="enough"):
        watch.step(engine)
    assert left.is_set()


@pytest.mark.parametrize("cache", ["on", "off"])
def test_a_hang_costs_an_engine_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    hangs = compose([*FAKE, f"cache={cache}", "engine.args={hang: {after: 9, apart: true}}"])
    assert pipeline.run(hangs, tmp_path / "run").status == "finished"
    pipeline.run(compose(FAKE), tmp_path / "whole")
    run, whole = load_run(tmp_path / "run"), load_run(tmp_path / "whole")
    assert len(run.results) == 24
    assert outcomes(run) == outcomes(whole)
    assert "did not answer for 1 s (engine_wait_s) and was killed" in run.manifest["restarts"][0]["error"]


def test_what_the_engine_hangs_on_is_an_error(tmp_path: Path) -> None:
    pipeline.run(compose(FAKE), tmp_path / "whole")
    poison = load_run(tmp_path / "whole").results[3].sample_id
    settings = compose([*FAKE, f"engine.args={{hang: {{on: ['{poison}'], apart: true}}}}"])
    assert pipeline.run(settings, tmp_path / "run").status == "finished"
    run = load_run(tmp_path / "run")
    assert len(run.results) == 24
    (failed,) = [r for r in run.results if r.score.outcome is Outcome.ERROR]
    assert failed.sample_id == poison
    assert "did not answer" in failed.score.explanation


def test_an_engine_of_this_process_that_hangs_ends_it_and_the_run_can_continue(tmp_path: Path) -> None:
    settings = (*FAKE, "engine.args={step_s: 0.05, hang: {after: 12}}")
    process = start_llmbench(tmp_path, "hydra.run.dir=run", *settings, errors=tmp_path / "said")
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL), process)
    family = descendants(process)
    assert family
    assert process.wait(300) == 1
    all_end(family)
    said = (tmp_path / "said").read_text()
    last = said.splitlines()[-1]
    assert "did not answer for 1 s (engine_wait_s)" in last
    assert "resume=" in last
    assert "Traceback" not in said
    run = load_run(tmp_path / "run")
    assert run.summary["status"] == "failed"
    assert "engine_wait_s" in run.summary["error"]
    assert run.summary["resume"] in last
    assert 12 <= len(run.results) < 24
    assert run.summary["benchmarks"]["arithmetic"]["n"] == len(run.results)
    assert run.notes == ()
    assert (tmp_path / "run" / "report.html").is_file()
    again = start_llmbench(tmp_path, "hydra.run.dir=run", "resume=run", errors=tmp_path / "said")
    assert again.wait(300) == 0, (tmp_path / "said").read_text()
    ids = [result.sample_id for result in load_run(tmp_path / "run").results]
    assert len(ids) == len(set(ids)) == 24


def test_a_librarys_caller_is_informed_and_keeps_its_process(tmp_path: Path) -> None:
    hang, said = Hang(after=8), io.StringIO()

    def release() -> None:
        while "only the end of this process" not in said.getvalue():
            time.sleep(0.05)
        hang.killed.put("enough")

    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    with FakeEngines(nonsense, hang=hang).pool() as pool, pytest.raises(EngineDiedError, match="enough"):
        pipeline.run(
            compose([*FAKE, "engine_restarts=0"]),
            tmp_path / "run",
            RunOptions(pool=pool, terminal=Terminal(err=said)),
        )
    thread.join()
    run = load_run(tmp_path / "run")
    assert any("only the end of this process" in warning for warning in run.summary["preflight"])
    assert len(run.results) >= 8


def test_the_limit_is_checked() -> None:
    assert compose(["engine_wait_s=null"]).engine_wait_s is None
    with pytest.raises(ConfigError, match=r"engine_wait_s=0.*above 0, or null"):
        compose(["engine_wait_s=0"])
