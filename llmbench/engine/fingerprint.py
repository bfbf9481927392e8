"""Which weights a checkpoint holds, without reading all of them.

Of a checkpoint from the hub it is the commit. Of a local folder it is the content of the files that decide an answer: small ones as a whole,
of large ones the length, the header, blocks all over it and the middle of every tensor, a few MiB of a file of 5 GB. When large files were
changed last stands apart: one with the same content so far, but another time, is not known to be the same to the last byte.
"""

import errno
import hashlib
import re
from contextlib import suppress
from pathlib import Path

from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.checkpoint_files import NOT_A_HEADER, header

COMMIT = re.compile(r"[0-9a-f]{40}")
DECIDE = (
    ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py",
)  # fmt: skip
"""Endings of the files that engines and tokenizers read; a README may change."""
LARGEST_WHOLE = 64 << 20
"""Bytes up to which a file is hashed as a whole; the largest tokenizers have half of that."""
BLOCKS, BLOCK = 256, 4 << 10


def commit(checkpoint: Checkpoint) -> str | None:
    """The commit of a checkpoint from the hub; None where it is not known, or of a local one."""
    name = Path(checkpoint.folder or "").name
    return name if not checkpoint.local and COMMIT.fullmatch(name) else None


def of_checkpoint(checkpoint: Checkpoint, since: float | None = None, *, all_files: bool = False) -> str:
    """What tells a checkpoint from others: of one from the hub its name and commit, of a local one its fingerprint (`of_path`).

    Raises:
        OSError: The commit is not known, or as of `of_path`.
    """
    if checkpoint.local:
        return "".join(of_path(Path(checkpoint.name), since, all_files=all_files))
    found = commit(checkpoint)
    if found is None:
        raise OSError(errno.ENOENT, "the commit that it was loaded from is not known", checkpoint.name)
    return f"{checkpoint.name}@{found}"


def of_path(path: Path, since: float | None = None, *, all_files: bool = False) -> tuple[str, str]:
    """The fingerprint of a folder, or of a single file: of the content, and of the times of its large files.

    Args:
        path: The folder or file.
        since: When loading it began, in seconds of the epoch: of what changed later nobody knows what was loaded.
        all_files: Of a folder every file counts that is not hidden, not only those whose names end as in `DECIDE`.

    Raises:
        OSError: There is no file, or one cannot be read or changed after `since`; `strerror` says why.
    """
    content, times = hashlib.sha256(), hashlib.sha256()
    files = [path] if path.is_file() else [f for f in path.iterdir() if _counts(f, all_files=all_files)]
    if not files:
        raise OSError(errno.ENOENT, "it holds no file of a model", str(path))
    for file in sorted(files):
        status = file.stat()
        if since is not None and max(status.st_mtime, status.st_ctime) > since:
            raise OSError(errno.ESTALE, "it changed after it was loaded", str(file))
        content.update(f"{file.name}\0{status.st_size}\0".encode("utf-8", "surrogateescape"))
        if status.st_size <= LARGEST_WHOLE:
            content.update(hashlib.sha256(file.read_bytes()).digest())
        else:
            times.update(f"{status.st_mtime_ns}\0".encode())
            _add_blocks(file, status.st_size, content)
    return content.hexdigest(), times.hexdigest()


def _counts(file: Path, *, all_files: bool) -> bool:
    wanted = not file.name.startswith(".") if all_files else file.suffix in DECIDE
    return wanted and file.is_file()


def _add_blocks(file: Path, size: int, digest: "hashlib._Hash") -> None:
    places = [(size - BLOCK) * number // (BLOCKS - 1) for number in range(BLOCKS)]
    with file.open("rb") as opened:
        if file.suffix == ".safetensors":
            with suppress(ValueError, *NOT_A_HEADER):
                length, tensors = header(file)
                digest.update(opened.read(8 + length))
                ranges = (tensor["data_offsets"] for tensor in tensors.values())
                middles = [8 + length + (begin + end - BLOCK) // 2 for begin, end in ranges]
                places += [min(max(0, middle), size - BLOCK) for middle in middles]
        for place in places:
            opened.seek(place)
            digest.update(opened.read(BLOCK))
