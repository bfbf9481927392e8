"""A run whose folder takes no more, on real mounts: a small tmpfs, and one that goes away and comes back."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmbench.cli.main import main
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import load_run
from tests.helpers.commands import start_llmbench

pytestmark = pytest.mark.slow

SLOW = ("benchmark=arithmetic", "engine=fake", "report=false", "batch_size=4", "engine.args={step_s: 0.001}")
MANY = (
    *SLOW,
    "benchmarks.arithmetic.num_samples=null",
    "sampling.repeats=2",
    "sampling.temperature=1",
)
LIMIT_S = 120.0


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def load_whole_lines(folder: Path) -> list[bytes]:
    return (folder / JOURNAL).read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize("heard", [True, False])
def test_a_full_disk_ends_the_run_with_one_sentence_and_resume_continues(place: Path, *, heard: bool) -> None:
    mount("-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place))
    log = place.parent / "said.txt" if heard else Path("/dev/full")
    with start_llmbench(place.parent, *MANY, f"hydra.run.dir={place / 'run'}", errors=log) as process:
        assert process.wait(LIMIT_S) == 1
    if heard:
        last = log.read_text().splitlines()[-1]
        assert "cannot be written (No space left on device); what was journalled is kept." in last
        assert f"resume={place / 'run'}" in last
        assert "Traceback" not in log.read_text()
    kept = load_whole_lines(place / "run")
    assert 0 < len(kept) < 400
    mount("-o", "remount,size=32m", str(place))
    assert main([f"resume={place / 'run'}"]) == 0
    assert load_whole_lines(place / "run")[: len(kept)] == kept
    run = load_run(place / "run")
    assert len({(r.sample_id, r.repeat) for r in run.results}) == len(run.results) == 400
    assert sum(attempt["results"] for attempt in run.summary["sittings"]) == 400


def test_a_mount_that_goes_away_ends_the_run_and_resume_continues(place: Path) -> None:
    real = place.parent / "real"
    real.mkdir()
    mount("--bind", str(real), str(place))
    with start_llmbench(place.parent, *MANY, f"hydra.run.dir={place / 'run'}") as process:
        deadline = time.monotonic() + LIMIT_S
        while not (place / "run" / JOURNAL).exists() or len(load_whole_lines(place / "run")) <= 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        subprocess.run(["umount", "-l", str(place)], check=True)
        assert process.wait(LIMIT_S) == 1
    mount("--bind", str(real), str(place))
    assert main([f"resume={place / 'run'}"]) == 0
    results = load_run(place / "run").results
    assert len({(r.sample_id, r.repeat) for r in results}) == len(results) == 400


def test_a_read_only_folder_is_one_sentence(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    real = place.parent / "real"
    assert main([*SLOW[:-1], "engine.args={break_after: 5}", f"hydra.run.dir={real}"]) == 1
    assert "The fake engine broke" in capfd.readouterr().err
    mount("--bind", str(real), str(place))
    mount("-o", "remount,ro,bind", str(place))
    before = json.loads((real / "manifest.json").read_text())
    assert main([f"resume={place}"]) == 1
    said = capfd.readouterr().err
    assert "Read-only file system" in said
    assert "Traceback" not in said
    assert main([*SLOW, f"hydra.run.dir={place / 'new'}"]) == 1
    said = capfd.readouterr().err
    assert "Read-only file system" in said
    assert "hydra.run.dir" in said
    assert json.loads((real / "manifest.json").read_text()) == before
