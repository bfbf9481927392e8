"""Sentences for people: control characters made visible, errors in one line, the nearest of some names."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from yaml import YAMLError

from llmbench.errors import LlmbenchError
from llmbench.system import files


def printable(text: str, keep: str = "") -> str:
    """The text with control characters made visible but for those to keep, so that none of them steers the terminal."""
    return "".join(c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" for c in text)


def one_line(error: BaseException) -> str:
    """The error's kind and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def reason_of(error: BaseException) -> str:
    """Why a file could not be read, in a line without a full stop."""
    if isinstance(error, YAMLError):
        return files.yaml_reason(error)
    return (getattr(error, "strerror", None) or first_sentences(str(error)) or type(error).__name__).rstrip(
        "."
    )


def sentence_of(error: BaseException) -> str:
    """The error in a sentence: its own where it is one of llmbench's."""
    return str(error) if isinstance(error, LlmbenchError) else one_line(error)


def unexpected(error: BaseException, folder: Path | None) -> str:
    """A sentence for an error that is llmbench's own fault, with where the traceback stands."""
    log_file = folder / "llmbench.log" if folder is not None else None
    if log_file is not None and log_file.exists():
        return f"{one_line(error)} (the log has the traceback: {log_file})."
    return f"{one_line(error)}."


def first_sentences(text: str) -> str:
    """The message without Hydra's internals (its full_key and object_type lines)."""
    kept = [
        line.strip()
        for line in text.splitlines()
        if not re.match(r"\s*(full_key|object_type|reference_type)", line)
    ]
    return " ".join(line for line in kept if line).rstrip(".")


def nearest(name: str, known: Iterable[object], count: int = 3) -> list[str]:
    """The known names most like `name`, best first."""
    return difflib.get_close_matches(name, [str(k) for k in known], n=count, cutoff=0.4)


def suggest(name: str, names: Iterable[object]) -> str:
    """`; did you mean …?` with the nearest of the known names, or all of them when none is near: a sentence's end."""
    known = [str(name) for name in names]
    near = nearest(name, known)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {', '.join(known)}." if known else "."


def natural(text: str) -> list[tuple[int, str]]:
    """Returns the key by which texts are sorted as people count: `q2` before `q10`.

    >>> sorted(["q10", "q2", "3", "a"], key=natural)
    ['3', 'a', 'q2', 'q10']
    """
    parts = re.split(r"([0-9]+)", text)  # texts and digits by turns, so that like is compared with like
    numbers = (part.lstrip("0") if place % 2 else "" for place, part in enumerate(parts))
    return [(len(number), number or part) for part, number in zip(parts, numbers, strict=True)]
