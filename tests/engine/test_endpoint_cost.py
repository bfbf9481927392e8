"""What a run costs, over all its processes and engines."""

import json
import signal
from pathlib import Path

import pytest

import llmbench
from llmbench.cli.main import main
from llmbench.results.reader import Run
from tests.helpers.commands import lines_in, start_llmbench, wait_until
from tests.helpers.endpoints import overrides
from tests.helpers.stand_in_server import Body, StandIn, serving

pytestmark = pytest.mark.slow
FEW = (
    "limit=6",
    "report=false",
    "hydra.run.dir=run",
    "batch_size=1",
    "engine.price={input: 1000, output: 1e6}",
)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded() -> Run:
    return llmbench.load_run(Path("run"))


def by_tokens(run: Run) -> float:
    completions = [each for result in run.results for each in result.completions]
    return sum(each.prompt_tokens / 1000 + each.output_tokens for each in completions)


def test_a_resumed_run_adds_to_what_was_spent() -> None:
    def reply(_: Body) -> str:
        if len(server.asked) == 3:
            server.faults.append((404, "gone"))
        return "It is 4."

    with serving(StandIn(reply=reply)) as server:
        assert main(overrides(server, *FEW)) == 1
        before = loaded()
        assert main(["resume=run"]) == 0
    run = loaded()
    assert len(before.results) == 3
    assert before.summary.cost == pytest.approx(by_tokens(before))
    assert run.summary.cost == pytest.approx(by_tokens(run))
    costs = [attempt.cost for attempt in run.summary.sittings]
    assert costs == [before.summary.cost, pytest.approx((run.summary.cost or 0) - (before.summary.cost or 0))]
    assert run.summary.engine is not None
    assert run.summary.engine.server is not None
    assert run.summary.engine.server.cost == pytest.approx(costs[1])


def test_what_a_killed_process_spent_is_counted_by_its_journal() -> None:
    stand_in = StandIn(word_s=0.1)
    with serving(stand_in) as server:
        process = start_llmbench(Path.cwd(), *overrides(server, *FEW), errors=Path("errors"))
        wait_until(lambda: lines_in(Path("run/samples.jsonl")) >= 2, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed = loaded()
        assert killed.summary.cost == pytest.approx(by_tokens(killed))
        assert len(killed.results) >= 2
        stand_in.word_s = 0
        assert main(["resume=run"]) == 0
    run = loaded()
    assert [attempt.status for attempt in run.summary.sittings] == ["killed", "finished"]
    assert run.summary.sittings[0].cost is None
    assert run.summary.cost == pytest.approx(by_tokens(run))


def test_the_limit_counts_what_earlier_processes_spent(capsys: pytest.CaptureFixture[str]) -> None:
    limit = ("benchmarks.arithmetic.max_tokens=8", "engine.max_cost=14", "early_stopping=off")
    with serving() as server:
        assert main(overrides(server, *FEW, *limit)) == 1
        first, asked = loaded(), len(server.asked)
        assert 0 < asked < 6
        assert main(["resume=run"]) == 1
        assert f"spent so far: {first.summary.cost:.4g}" in capsys.readouterr().err.replace("\n", " ")
        assert len(server.asked) == asked
        assert loaded().summary.cost == pytest.approx(first.summary.cost)
        assert main(["resume=run", "engine.max_cost=1000"]) == 0
    run = loaded()
    # answered as the limit was reached: paid, and asked again
    dropped = (first.summary.cost or 0) - by_tokens(first)
    assert run.summary.cost == pytest.approx(by_tokens(run) + dropped)
    assert len(run.results) == 6


def test_without_prices_nothing_is_said_of_cost() -> None:
    with serving() as server:
        assert main(overrides(server, "limit=2", "report=false", "hydra.run.dir=run")) == 0
    found = json.loads(Path("run/summary.json").read_text())
    assert found["cost"] is found["sittings"][0]["cost"] is found["engine"]["server"]["cost"] is None
