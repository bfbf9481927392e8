"""Many short requests in one run: does the memory of the process stay where it was, and is the journal right?

python -m tests.bench.sustained [--engine fake|vllm] [--requests N] [SETTING …]

Memory is this process's without its children, once a second from the first result on; `growth` is between the means of the second and the
last quarter of the time, `slope` in bytes a request: what has to be kept of each result until the summary is part of it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from llmbench.results.manifest import JOURNAL, SUMMARY
from llmbench.results.reader import load_run
from tests.bench.kill import start

if TYPE_CHECKING:
    import subprocess

QUESTIONS = 200
ENGINES = {
    "fake": ("engine=fake", "batch_size=64"),
    "vllm": ("engine=vllm", "batch_size=64", "benchmarks.arithmetic.max_tokens=16", "early_stopping=cut"),
}
COMMON = (
    "benchmark=arithmetic",
    "benchmarks.arithmetic.num_samples=null",
    "sampling.temperature=1",
    "report=false",
)
MIB = 1 << 20


def watch(process: "subprocess.Popen[bytes]", journal: Path) -> list[tuple[int, int]]:
    """Bytes of journal and of resident memory, once a second."""
    own, seen = psutil.Process(process.pid), []
    while process.poll() is None:
        if journal.is_file() and journal.stat().st_size:
            try:
                seen.append((journal.stat().st_size, own.memory_info().rss))
            except psutil.Error:
                break
        time.sleep(1)
    process.wait()
    return seen


def report(folder: Path, seen: list[tuple[int, int]], requests: int) -> bool:
    """Prints what was seen; whether the journal is right."""
    run = load_run(folder)
    keys = {(r.benchmark, r.sample_id, r.repeat) for r in run.results}
    right = len(keys) == len(run.results) == requests and not run.notes
    found = json.loads((folder / SUMMARY).read_text())["benchmarks"]["arithmetic"]
    right = right and found["n"] == found["expected"] == requests
    print(
        f"{requests} requests: {len(run.results)} results, {len(keys)} different, journal {'right' if right else 'WRONG'}, "
        f"{(folder / JOURNAL).stat().st_size / MIB:.0f} MiB"
    )
    if len(seen) >= 8:
        quarter = len(seen) // 4
        second, last = seen[quarter : 2 * quarter], seen[-quarter:]
        means = [statistics.mean(rss for _, rss in part) for part in (second, last)]
        print(
            f"memory {means[0] / MIB:.0f} MiB in the second quarter, {means[1] / MIB:.0f} MiB in the last: "
            f"growth {(means[1] - means[0]) / MIB:+.1f} MiB; most {max(rss for _, rss in seen) / MIB:.0f} MiB"
        )
        size = seen[-1][0] / requests  # of a result in the journal
        asked = (statistics.mean(s for s, _ in last) - statistics.mean(s for s, _ in second)) / size
        print(f"slope {(means[1] - means[0]) / asked:.0f} bytes a request; its journal line has {size:.0f}")
    return right


def main() -> int:
    """Runs and watches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=sorted(ENGINES), default="fake")
    parser.add_argument("--requests", type=int, default=20_000, help="a multiple of 200")
    parser.add_argument("settings", nargs="*")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name) / "run", Path(name) / "log.txt"
        repeats = max(1, chosen.requests // QUESTIONS)
        settings = [*COMMON, *ENGINES[chosen.engine], f"sampling.repeats={repeats}", *chosen.settings]
        begun = time.monotonic()
        process = start([*settings, f"hydra.run.dir={folder}"], log)
        seen = watch(process, folder / JOURNAL)
        print(f"status {process.returncode}, {time.monotonic() - begun:.0f} s")
        if process.returncode:
            print(log.read_text())
            return 1
        return 0 if report(folder, seen, repeats * QUESTIONS) else 1


if __name__ == "__main__":
    sys.exit(main())
