"""A run whose folder takes no more, on real mounts: a small tmpfs, and one that goes away and comes back."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmbench.cli import main
from llmbench.store import JOURNAL, TRACE, load_run
from llmbench.telemetry.trace import read_trace
from tests.test_resume import started

SLOW = ("benchmark=arithmetic", "engine=fake", "batch_size=4", "engine.args={step_s: 0.001}")
MANY = (
    *SLOW,
    "benchmarks.arithmetic.num_samples=null",
    "sampling.repeats=4",
    "sampling.temperature=1",
    "report=false",
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


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_full_disk_pauses_the_run_until_there_is_room(place: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place))
    log = place.parent / "said.txt"
    with started(place.parent, *MANY, f"hydra.run.dir={place / 'run'}", errors=log) as process:
        until(lambda: "the run pauses" in log.read_text())
        paused_at = len(load_whole_lines(place / "run"))
        assert 0 < paused_at < 800
        time.sleep(1)
        assert len(load_whole_lines(place / "run")) == paused_at
        seen = read_trace(place / "run" / TRACE)[-1].t
        mount("-o", "remount,size=32m", str(place))
        assert process.wait(LIMIT_S) == 0
    said = log.read_text()
    assert "No space left on device" in said
    assert said.count("the run pauses") == 1
    assert "The pause is over" in said
    run = load_run(place / "run")
    assert len({(r.sample_id, r.repeat) for r in run.results}) == len(run.results) == 800
    assert run.notes == ()
    paused_s = run.summary["time_s"]["paused"]
    assert paused_s >= 1
    samples = read_trace(place / "run" / TRACE)
    assert samples[-1].t > seen  # telemetry went on too
    assert [sample.t for sample in samples] == sorted(sample.t for sample in samples)
    assert any("paused" in warning for warning in run.summary["warnings"])


def test_a_pause_that_cannot_be_told_is_one_all_the_same(place: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place))
    with started(place.parent, *MANY, f"hydra.run.dir={place / 'run'}", errors=Path("/dev/full")) as process:
        until(lambda: stands_still(place / "run"))
        assert process.poll() is None
        mount("-o", "remount,size=32m", str(place))
        assert process.wait(LIMIT_S) == 0
    run = load_run(place / "run")
    assert len(run.results) == 800
    assert [(s["status"], s["results"]) for s in run.summary["sittings"]] == [("finished", 800)]


def stands_still(folder: Path) -> bool:
    """Whether a run's journal ends within a line, which means that the disk takes no more."""
    journal = folder / JOURNAL
    return journal.exists() and journal.read_bytes()[-1:] not in (b"\n", b"")


def load_whole_lines(folder: Path) -> list[bytes]:
    return (folder / JOURNAL).read_bytes().split(b"\n")[:-1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_pause_and_what_was_journalled_is_gone_on_with(
    place: Path, number: signal.Signals, status: int
) -> None:
    mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place))
    log = place.parent / "said.txt"
    with started(place.parent, *MANY, f"hydra.run.dir={place / 'run'}", errors=log) as process:
        until(lambda: "the run pauses" in log.read_text())
        process.send_signal(number)
        process.wait(LIMIT_S)
    assert process.returncode == status
    said = log.read_text()
    assert "Traceback" not in said
    assert "because the run is to end" in said
    assert "Interrupted; what was finished is in" in said
    kept = load_whole_lines(place / "run")
    mount("-o", "remount,size=32m", str(place))
    assert main([f"resume={place / 'run'}"]) == 0
    assert load_whole_lines(place / "run")[: len(kept)] == kept
    assert len(load_run(place / "run").results) == 800


def test_patience_can_be_set(place: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place))
    log = place.parent / "said.txt"
    with started(
        place.parent, *MANY, f"hydra.run.dir={place / 'run'}", "disk_wait_s=0.5", errors=log
    ) as process:
        assert process.wait(LIMIT_S) == 1
    said = log.read_text()
    assert said.count("the run pauses") == said.count("gives up after a pause of") == 1
    assert "is over" not in said
    last = said.splitlines()[-1]
    assert f"{JOURNAL} cannot be written" in last
    assert "cannot be written (No space left on device); what was journalled is kept." in last
    assert "resume=" in last


def test_a_mount_that_goes_and_comes_back_costs_nothing(place: Path) -> None:
    real = place.parent / "real"
    real.mkdir()
    mount("--bind", str(real), str(place))
    log = place.parent / "said.txt"
    with started(place.parent, *MANY, f"hydra.run.dir={place / 'run'}", errors=log) as process:
        until(lambda: (place / "run" / JOURNAL).exists() and len(load_whole_lines(place / "run")) > 10)
        subprocess.run(["umount", "-l", str(place)], check=True)
        until(lambda: "the run pauses" in log.read_text())
        mount("--bind", str(real), str(place))
        assert process.wait(LIMIT_S) == 0
    results = load_run(place / "run").results
    assert len({(r.sample_id, r.repeat) for r in results}) == len(results) == 800


def test_a_read_only_folder_is_one_sentence(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    real = place.parent / "real"
    assert main([*SLOW, "engine.args={break_after: 5}", f"hydra.run.dir={real}"]) == 1
    capfd.readouterr()
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
