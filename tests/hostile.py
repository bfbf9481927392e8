"""A benchmark whose grading misbehaves as its text says; imported by grading workers."""

import os
import time

from llmbench.records import Sample

PRELOAD: tuple[str, ...] = ()


def extract(sample: Sample, text: str, *, complete: bool) -> str | None:
    assert complete
    assert sample.target == "x"
    return text


def equal(sample: Sample, answer: str) -> bool:
    assert sample.target == "x"
    if answer == "hang":
        time.sleep(3600)
    if answer == "die":
        os._exit(7)
    if answer == "eat":
        return len(b"x" * (64 << 30)) > 0
    raise RuntimeError(answer)
