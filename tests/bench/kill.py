"""Kills runs at random moments, goes on with them, and counts what was lost.

python -m tests.bench.kill [--engine fake|vllm] [--times N] [--signals KILL,TERM,INT] [--seed S] [SETTING …]
python -m tests.bench.kill --damage [--seconds S]   a journal damaged at every byte of its last two lines, each time gone on with

Checked after each kill: no process is left, and the GPU's memory is what it was; after going on: every journalled result is still there, byte for byte, none is there twice,
and the scores are those of the run that was not disturbed. Exit status 1 if anything of that fails.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from llmbench.cli.main import main as llmbench
from llmbench.results.manifest import JOURNAL
from llmbench.results.reader import load_run, read_journal
from llmbench.system import hardware

ENGINES = {
    "fake": ("engine=fake", "engine.args={step_s: 0.02}", "limit=30", "batch_size=3"),
    "vllm": ("engine=vllm", "model.dtype=float32", "limit=24", "batch_size=4"),
}
COMMON = ("benchmark=arithmetic", "report=false")
GONE_S = 15.0
"""How long the processes of a killed run may take to end."""
PATIENCE_S = 600.0
GPU_SLACK = 256 << 20
Scores = dict[tuple[str, str, int], tuple[str, str | None]]


@dataclass
class Tally:
    """What was seen."""

    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    def check(self, good: bool, trouble: str) -> None:  # noqa: FBT001 - a verdict
        """Notes what is wrong."""
        if not good:
            self.troubles.append(trouble)
            print(f"  WRONG: {trouble}", flush=True)


def start(settings: "list[str] | tuple[str, ...]", log: Path) -> "subprocess.Popen[bytes]":
    """llmbench in a process of its own."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "llmbench", *settings], stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The process and all that it started."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.Error:
        return []


def left(known: list[psutil.Process]) -> list[psutil.Process]:
    """Those that live on for too long."""
    deadline = time.monotonic() + GONE_S
    while True:
        alive = [p for p in known if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.1)


def gpu_bytes() -> int:
    """Memory of all GPUs that is taken."""
    return sum(gpu.total_bytes - (hardware.free_bytes(gpu) or gpu.total_bytes) for gpu in hardware.gpus())


def gpu_is_free(before: int) -> bool:
    """Whether the GPU's memory comes back in time."""
    deadline = time.monotonic() + GONE_S
    while gpu_bytes() > before + GPU_SLACK:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def scores(folder: Path) -> Scores:
    """Outcome and answer of every result."""
    return {
        (r.benchmark, r.sample_id, r.repeat): (r.score.outcome.value, r.score.answer)
        for r in load_run(folder).results
    }


def lines(folder: Path) -> list[bytes]:
    """The whole lines of the journal."""
    path = folder / JOURNAL
    return [line for line in path.read_bytes().split(b"\n")[:-1] if line] if path.is_file() else []


def wait(process: "subprocess.Popen[bytes]", tally: Tally, what: str) -> int | None:
    """The exit status; a process that does not end is a trouble."""
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        tally.check(good=False, trouble=f"{what} does not end")
        process.kill()
        return None


def kill_one(
    folder: Path, name: str, after_s: float, *, settings: tuple[str, ...], expected: Scores, tally: Tally
) -> None:
    """One run, killed after so many seconds and gone on with until it is finished."""
    free_before = gpu_bytes()
    run, log, number = folder / "run", folder / "log.txt", getattr(signal, f"SIG{name}")
    process = start([*settings, f"hydra.run.dir={run}"], log)
    known: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline and process.poll() is None:
        known |= {p.pid: p for p in family(process)}
        time.sleep(0.05)
    known |= {p.pid: p for p in family(process)}
    process.send_signal(number)
    status = wait(process, tally, f"{name} after {after_s:.1f} s")
    tally.check(not left(list(known.values())), f"{name} after {after_s:.1f} s: processes are left")
    tally.check(gpu_is_free(free_before), f"{name} after {after_s:.1f} s: GPU memory is left")
    before = lines(run)
    tally.counts[f"{name}: with results" if before else f"{name}: before the first result"] += 1
    tally.counts[f"{name}: status {status}"] += 1
    begun = (run / "manifest.json").is_file()
    tally.counts[f"{name}: not begun"] += not begun
    again = start([f"resume={run}"] if begun else [*settings, f"hydra.run.dir={run}"], log)
    status = wait(again, tally, "going on")
    tally.check(status == 0, f"{name} after {after_s:.1f} s: going on gave {status}; see {log}")
    if status != 0:
        return
    after = lines(run)
    tally.check(after[: len(before)] == before, f"{name} after {after_s:.1f} s: journalled results changed")
    keys = [(r.benchmark, r.sample_id, r.repeat) for r in read_journal(run)]
    tally.check(len(keys) == len(after) == len(expected), f"{name}: {len(after)} lines, {len(keys)} results")
    tally.check(scores(run) == expected, f"{name} after {after_s:.1f} s: other scores")
    tally.counts[f"{name}: finished as undisturbed"] += 1


def kill_many(chosen: argparse.Namespace, folder: Path, tally: Tally) -> None:
    """All kills, after one run that is left in peace."""
    settings = (*COMMON, *ENGINES[chosen.engine], *chosen.settings)
    generator = random.Random(chosen.seed)
    begun = time.monotonic()
    process = start([*settings, f"hydra.run.dir={folder / 'whole'}"], folder / "whole.txt")
    if wait(process, tally, "the undisturbed run") != 0:
        tally.check(good=False, trouble=(folder / "whole.txt").read_text())
        return
    whole_s = time.monotonic() - begun
    expected = scores(folder / "whole")
    print(f"undisturbed: {whole_s:.1f} s, {len(expected)} results", flush=True)
    for number in range(chosen.times):
        for name in chosen.signals.split(","):
            own = folder / f"{name}-{number}"
            own.mkdir()
            after_s = generator.uniform(0.3, whole_s)
            kill_one(own, name, after_s, settings=settings, expected=expected, tally=tally)
        print(
            f"{number + 1} of {chosen.times}: {sum(tally.counts.values())} notes, {len(tally.troubles)} wrong",
            flush=True,
        )


def damage_all(folder: Path, tally: Tally, chosen: argparse.Namespace) -> None:
    """A bit flipped, and the file cut, at every byte of the last two lines; each time the run is gone on with."""
    end = time.monotonic() + chosen.seconds
    settings = [*COMMON, "engine=fake", "limit=4"]
    run = folder / "run"
    llmbench([*settings, f"hydra.run.dir={run}"])
    expected, content = scores(run), (run / JOURNAL).read_bytes()
    whole = content.rstrip(b"\n")
    begin = whole.rfind(b"\n", 0, whole.rfind(b"\n")) + 1
    places = random.Random(chosen.seed).sample(range(begin, len(content)), len(content) - begin)
    print(f"{len(places)} places", flush=True)
    for at in places:
        if time.monotonic() > end:
            break
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for kind, damaged in (("flipped", flipped), ("cut", content[:at])):
            (run / JOURNAL).write_bytes(damaged)
            status = llmbench([f"resume={run}"])
            kept = (run / JOURNAL).read_bytes().splitlines()  # the break at the end may be what was damaged
            good = status == 0 and scores(run) == expected and len(kept) == len(expected)
            tally.check(good, f"byte {at} {kind}: status {status}")
            tally.counts[kind] += 1


def main() -> int:
    """Runs the experiment and prints what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=sorted(ENGINES), default="fake")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--signals", default="KILL,TERM,INT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--damage", action="store_true")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end --damage after so many")
    parser.add_argument("settings", nargs="*")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # children started from a script in the background would ignore it
    tally, begun = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        if chosen.damage:
            damage_all(Path(name), tally, chosen)
        else:
            kill_many(chosen, Path(name), tally)
    for what, count in sorted(tally.counts.items()):
        print(f"{what}: {count}")
    print(f"{len(tally.troubles)} wrong, {time.monotonic() - begun:.0f} s")
    return 1 if tally.troubles else 0


if __name__ == "__main__":
    sys.exit(main())
