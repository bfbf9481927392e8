"""The benchmark `arithmetic` with graders that wait for as long as a file exists; imported by grading workers."""

import os
import time
from pathlib import Path

from llmbench.benchmarks.arithmetic import Arithmetic
from llmbench.records import Sample

FILE = "LLMBENCH_TEST_HELD_BACK"
"""The variable that names the file; beside it, workers that wait leave files named after their process."""


class HeldBack(Arithmetic):
    def extract(self, sample: Sample, text: str, *, complete: bool) -> str | None:
        file = Path(os.environ[FILE])
        while file.exists():
            file.with_name(f"{os.getpid()}.waits").touch()
            time.sleep(0.05)
        return super().extract(sample, text, complete=complete)
