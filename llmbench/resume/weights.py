"""Which checkpoint gave a run's results, so that those of another one are never put beside them.

Of a checkpoint from the hub it is the commit. Of a local folder it is the content of the files that decide an answer: small ones
as a whole, of large ones the length, the header, blocks all over it and, where the header tells them apart, the middle of every tensor.
That reads a few MiB of a file of 5 GB, and a folder that was moved or copied is still the same; `times` then tells which files are not
known to be the same to the last byte.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from llmbench.cache.fingerprint import COMMIT, WEIGHTS, add_blocks, header_bytes, spread
from llmbench.errors import ConfigError
from llmbench.models import HEADER_BYTES, Checkpoint

DECIDE = (*WEIGHTS, ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py")
"""Endings of the files that engines and tokenizers read; a README may change."""
LARGEST_WHOLE = 64 << 20
BLOCKS, BLOCK = 256, 4 << 10


def row(checkpoint: Checkpoint, since: float | None = None) -> dict[str, Any]:
    """A checkpoint as the manifest has it, a local one with its `content` and `times`.

    Args:
        checkpoint: Where it is.
        since: When its loading began, in seconds of the epoch: of files that changed later nobody knows what was loaded, so
            both are None; they are too where a file cannot be read.
    """
    told = asdict(checkpoint)
    if not checkpoint.local:
        return told
    content, times = hashlib.sha256(), hashlib.sha256()
    try:
        found = [f for f in Path(checkpoint.name).iterdir() if f.suffix in DECIDE and f.is_file()]
        for file in sorted(found):
            status = file.stat()
            if since is not None and max(status.st_mtime, status.st_ctime) > since:
                return told | {"content": None, "times": None}
            content.update(f"{file.name}\0{status.st_size}\0".encode("utf-8", "surrogateescape"))
            if status.st_size <= LARGEST_WHOLE:
                content.update(hashlib.sha256(file.read_bytes()).digest())
            else:
                times.update(f"{status.st_mtime_ns}\0".encode())
                _add_blocks(file, status.st_size, content)
    except OSError:
        return told | {"content": None, "times": None}
    return told | {"content": content.hexdigest(), "times": times.hexdigest()}


def _add_blocks(file: Path, size: int, digest: "hashlib._Hash") -> None:
    places = spread(size, BLOCKS, BLOCK)
    with file.open("rb") as opened:
        if file.suffix == ".safetensors":
            head = opened.read(8)
            header = opened.read(header_bytes(head, HEADER_BYTES))
            digest.update(head + header)
            places += [min(place, size - BLOCK) for place in _middles(header)]
        add_blocks(opened, places, BLOCK, digest)


def _middles(header: bytes) -> list[int]:
    """Where the middle of each tensor begins, in bytes from the file's beginning; none where the header cannot be read."""
    try:
        ranges = [
            entry["data_offsets"] for name, entry in orjson.loads(header).items() if name != "__metadata__"
        ]
        middles = [8 + len(header) + (int(begin) + int(end) - BLOCK) // 2 for begin, end in ranges]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
    return [max(0, middle) for middle in middles]


def known(before: Mapping[str, Any]) -> bool:
    """Whether a manifest's checkpoint can be compared by its content."""
    return isinstance(before.get("content"), str)


def commit(told: Mapping[str, Any]) -> str | None:
    """The commit of a checkpoint from the hub; None where it is not known, or of a local one."""
    name = Path(str(told.get("folder") or "")).name
    return name if not told.get("local") and COMMIT.fullmatch(name) else None


def compare(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> str | None:
    """What is to be said of two checkpoints that are to give one run's results; None where they are the same.

    Args:
        before: The manifest's, of the results so far.
        now: This sitting's, as `row` made it.
        folder: The run's.

    Raises:
        ConfigError: They are not the same.
    """
    was, is_now = (told["content"] if known(told) else commit(told) for told in (before, now))
    if was is None:
        return (
            f"{folder} does not tell which weights gave its results so far, so nobody compared them with "
            f"those of {now['name']} now."
        )
    if was != is_now:
        raise ConfigError(
            f"The checkpoint {now['name']} is not the one that gave the results in {folder}: its files hold something else now; "
            "bring back what was there (model.path=FOLDER if it lies elsewhere), or start a new run."
        )
    if known(before) and before.get("times") != now.get("times"):
        return (
            f"The weight files of {now['name']} were written anew since the results so far; header, size, {BLOCKS} blocks "
            "of each and the middle of every tensor are the same."
        )
    return None
