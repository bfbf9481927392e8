"""llmbench with a CUDA error in its own process, once, while requests run: an index out of range that a kernel asserts against.

python -m tests.bench.break_cuda MARKER [ARGUMENT …]

The error comes as soon as the journal of `hydra.run.dir` has three lines, and only while the file MARKER is not there, so that the process that
llmbench starts in its place is left alone.
"""

import sys
import threading
import time
from pathlib import Path

from llmbench.__main__ import main
from llmbench.results.manifest import JOURNAL

LINES = 3


def break_it(marker: Path, journal: Path) -> None:
    """Waits for the lines and spoils the process's CUDA context."""
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= LINES):
        time.sleep(0.02)
    marker.touch()
    import torch

    numbers = torch.zeros(4, device="cuda")
    index = torch.tensor([99], device="cuda")
    print(numbers[index])


if __name__ == "__main__":
    marker, *rest = sys.argv[1:]
    folder = next(a.partition("=")[2] for a in rest if a.startswith("hydra.run.dir="))
    if not Path(marker).exists():
        threading.Thread(target=break_it, args=(Path(marker), Path(folder) / JOURNAL), daemon=True).start()
    sys.argv = [sys.argv[0], *rest]
    sys.exit(main())
