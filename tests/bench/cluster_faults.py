"""Replicas on a cluster that somebody else has started: here two nodes on this machine, one of which goes away.

`python -m pytest tests/bench/cluster_faults.py`, as `make bench` does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.results.reader import load_run
from llmbench.run import pipeline
from tests.helpers.commands import ENVIRONMENT, lines_in, start_llmbench, wait_until
from tests.helpers.installed import needs
from tests.helpers.replicas import TWO, answers, keep_ray_private
from tests.helpers.settings import compose

pytestmark = needs("ray")


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """The program that has them."""
    keep_ray_private(tmp_path, monkeypatch)
    with (tmp_path / "cluster").open("w") as said:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.ray_cluster"],
            env=os.environ | ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    try:
        yield program
    finally:
        program.communicate()


def line(program: subprocess.Popen[str]) -> str:
    """The next line that it writes; what Ray prints before is passed over."""
    assert program.stdout is not None
    return next(text for text in program.stdout if ":" in text or "removed" in text).strip()


def test_a_host_that_goes_away_costs_no_answer(two_nodes: subprocess.Popen[str], tmp_path: Path) -> None:
    address, run = line(two_nodes), tmp_path / "run"
    questions = ("limit=100", "sampling.repeats=4", "batch_size=8")
    process = start_llmbench(
        tmp_path,
        "hydra.run.dir=run",
        *TWO[:3],
        *questions,
        "engine.replicas=auto",
        f"engine.ray_address={address}",
        "engine.args={step_s: 0.04}",
        errors=tmp_path / "said",
    )
    wait_until(lambda: lines_in(run / "samples.jsonl") > 40, process)
    assert two_nodes.stdin is not None
    two_nodes.stdin.write("remove\n")
    two_nodes.stdin.flush()
    lost = int(line(two_nodes).removeprefix("removed "))
    assert process.poll() is None  # there was something left to ask
    assert process.wait(300) == 0, (tmp_path / "said").read_text()
    assert "3 replicas, as the cluster has room for 3" in (tmp_path / "said").read_text()
    pipeline.run(compose([*TWO[:3], *questions]), tmp_path / "single")
    assert answers(run) == answers(tmp_path / "single")
    replicas = load_run(run).summary["engine"]["replicas"]
    assert sum(replica["requests"] for replica in replicas) == 400
    assert sum(bool(replica["deaths"]) for replica in replicas) >= lost
    hosts = json.loads((run / "manifest.json").read_text())["hosts"]
    assert sum(host["replicas"] for host in hosts) == 3
