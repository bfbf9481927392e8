"""Which weights a checkpoint holds, without reading all of them.

Of a checkpoint from the hub it is the commit that the revision resolved to. Of a local folder it is the content of every file
directly in it, weights excepted; of each weight file size, time of last change (to the nanosecond), header and blocks spread
over its length. So a checkpoint that is overwritten in place, even by one of the same size, is another one. What would not be
noticed is a weight file changed between those blocks and then given its old time again, which does not happen by itself.

A fingerprint is taken when the model is loaded already, so files that changed since the loading began have none: nobody
knows what was loaded.
"""

import hashlib
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from llmbench.errors import CacheError
from llmbench.models import Checkpoint

COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
LARGEST_WHOLE = 64 << 20
"""Bytes up to which a file is hashed as a whole unless it holds weights; the largest tokenizers have half of that."""
HEADER, LARGEST_HEADER = 1 << 20, 16 << 20
BLOCKS, BLOCK = 16, 64 << 10
"""Samples of a weight file: 2 MiB of each are read, so that six files of 5 GB take milliseconds."""


def of_checkpoint(checkpoint: Checkpoint, since: float) -> str:
    """The fingerprint of a checkpoint that was loaded.

    Args:
        checkpoint: Where it is.
        since: When its loading began, in seconds of the epoch.

    Raises:
        CacheError: It has none.
    """
    if checkpoint.local:
        return of_path(Path(checkpoint.name), since)
    commit = Path(checkpoint.folder).name if checkpoint.folder else ""
    if not COMMIT.fullmatch(commit):
        raise CacheError(
            f"The commit that {checkpoint.name} was loaded from is not known, so no answer of it is kept."
        )
    return f"{checkpoint.name}@{commit}"


def of_path(path: Path, since: float) -> str:
    """The fingerprint of a folder, or of a single file.

    Raises:
        CacheError: It cannot be read, or changed after `since`.
    """
    digest = hashlib.sha256()
    try:
        files = [path] if path.is_file() else sorted(f for f in path.iterdir() if _counts(f))
        for file in files:
            status = file.stat()
            if max(status.st_mtime, status.st_ctime) > since:
                raise CacheError(f"{file} changed after it was loaded, so no answer of this model is kept.")
            digest.update(f"{file.name}\0{status.st_size}\0".encode())
            if file.suffix in WEIGHTS or status.st_size > LARGEST_WHOLE:
                digest.update(f"{status.st_mtime_ns}\0".encode())
                _sample(file, status.st_size, digest)
            else:
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    except OSError as error:
        raise CacheError(
            f"{path} cannot be read ({error.strerror}), so no answer of this model is kept."
        ) from error
    if not files:
        raise CacheError(f"{path} is empty, so no answer of this model is kept.")
    return digest.hexdigest()


def of_named(settings: object, since: float) -> dict[str, str]:
    """The fingerprints of all folders and files that settings name by their paths: adapters, draft models, templates.

    Raises:
        CacheError: One has none.
    """
    paths = {text for text in _texts(settings) if os.sep in text and Path(text).expanduser().exists()}
    return {path: of_path(Path(path).expanduser(), since) for path in sorted(paths)}


def _texts(settings: object) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from _texts(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _texts(value)


def _counts(file: Path) -> bool:
    return not file.name.startswith(".") and file.is_file()


def _sample(file: Path, size: int, digest: "hashlib._Hash") -> None:
    """Adds the header and the blocks, the first and the last among them; all of a small file."""
    with file.open("rb") as opened:
        if size <= HEADER + BLOCKS * BLOCK:
            digest.update(opened.read())
            return
        head = opened.read(8)
        told = header_bytes(head, LARGEST_HEADER) if file.suffix == ".safetensors" else HEADER
        digest.update(head + opened.read(told))
        add_blocks(opened, spread(size, BLOCKS, BLOCK), BLOCK, digest)


def header_bytes(head: bytes, most: int) -> int:
    """How long a safetensors file's header is, as its first 8 bytes say (https://huggingface.co/docs/safetensors), but no more than `most`."""
    return min(int(struct.unpack("<Q", head)[0]), most)


def spread(size: int, blocks: int, block: int) -> list[int]:
    """Where so many blocks of so many bytes begin that are spread over a file, the first and the last among them."""
    return [(size - block) * number // (blocks - 1) for number in range(blocks)]


def add_blocks(opened: IO[bytes], places: Iterable[int], block: int, digest: "hashlib._Hash") -> None:
    """Adds the blocks that begin at these places."""
    for place in places:
        opened.seek(place)
        digest.update(opened.read(block))
