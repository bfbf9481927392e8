"""Two replicas of a real engine, one thread each: the answers of a single one, also where one of them is killed in the middle.

`python -m pytest tests/bench/replica_faults.py`, as `make bench` does.
"""

import json
from pathlib import Path

import psutil
import pytest

from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import Run, load_run
from llmbench.telemetry.engine_report import ReplicaReport
from tests.helpers.commands import LIMIT_S, lines_in, llmbench_program, start_llmbench, wait_until
from tests.helpers.families import all_end, descendants
from tests.helpers.installed import needs
from tests.helpers.runs import outcomes

pytestmark = [needs("vllm"), needs("ray"), pytest.mark.real_engine]

ASKED = ("model.dtype=float32", "engine.device=cpu", "batch_size=8", "report=false", "hydra.run.dir=run")
LONGER = ("benchmarks.arithmetic.num_samples=150", "sampling.ignore_eos=true")


@pytest.fixture
def cached(tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(smollm2.parent)
    monkeypatch.setenv("LLMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin crawl beside other processes


def run(folder: Path, *settings: str) -> Run:
    folder.mkdir()
    done = llmbench_program(*ASKED, *settings, folder=folder)
    assert done.returncode == 0, done.stderr
    return load_run(folder / "run")


def replicas_of(found: Run) -> list[ReplicaReport]:
    assert found.summary.engine is not None
    return found.summary.engine.replicas


@pytest.mark.usefixtures("cached")
def test_two_replicas_give_the_answers_of_one_engine(tmp_path: Path) -> None:
    one, two = run(tmp_path / "one"), run(tmp_path / "two", "engine.replicas=2")
    assert outcomes(two) == outcomes(one)
    assert len(two.results) == len({result.key for result in two.results}) == 48
    texts = {result.key: result.text for result in one.results}
    assert all(result.text == texts[result.key] for result in two.results)
    replicas = replicas_of(two)
    assert sum(each.requests for each in replicas) == sum(len(r.completions) for r in two.results)
    assert min(each.requests for each in replicas) > 0
    (host,) = two.manifest.hosts
    assert host.replicas == 2


@pytest.mark.usefixtures("cached")
def test_a_replica_that_is_killed_costs_no_answer_and_comes_back(tmp_path: Path) -> None:
    said = tmp_path / "said"
    process = start_llmbench(tmp_path, *ASKED, *LONGER, "engine.replicas=2", errors=said)
    wait_until(lambda: lines_in(tmp_path / "run" / JOURNAL) >= 8, process)
    family = descendants(process)
    worker = max(family, key=lambda each: each.memory_info().rss if _is_worker(each) else 0)
    worker.kill()
    assert process.wait(2 * LIMIT_S) == 0, said.read_text()
    found = load_run(tmp_path / "run")
    assert len(found.results) == len({result.key for result in found.results}) == 150
    (died,) = [each for each in replicas_of(found) if each.deaths]
    assert died.lost is None
    assert "is started again" in said.read_text()
    assert came_back(tmp_path / "run" / "trace.jsonl"), "both work again before the end"
    all_end(family)


def came_back(trace: Path) -> bool:
    """Whether more than one replica's batch ran, then no more than one's, then more again."""
    running = [
        row["engine"]["running"] or 0
        for row in map(json.loads, trace.read_text().splitlines())
        if row["engine"]
    ]
    both = [number > 8 for number in running]
    return False in both[both.index(True) :] and True in both[both.index(False, both.index(True)) :]


def _is_worker(process: psutil.Process) -> bool:
    return "ray::" in " ".join(process.cmdline())
