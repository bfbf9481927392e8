"""Replicas on a cluster that somebody else has started. One whose host goes away: tests/bench/cluster_faults.py."""

from pathlib import Path

import pytest

from tests.helpers.commands import llmbench
from tests.helpers.replicas import TWO, keep_ray_private

pytestmark = pytest.mark.slow


def test_where_no_cluster_answers_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_ray_private(tmp_path, monkeypatch)
    where = ("engine.ray_address=127.0.0.1:1", "engine.replicas=auto")
    done = llmbench(*TWO[:3], *where, folder=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("llmbench: No Ray cluster answers at engine.ray_address=127.0.0.1:1 (")
    assert "Traceback" not in done.stderr
