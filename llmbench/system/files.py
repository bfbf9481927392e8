"""Files that a user hands over, which may be anything: read only if they are regular files, up to a size, without waiting.

A pipe would be waited for, a device read without end, a folder of another person may hold links where we write. YAML is
looked through before anything is made of it, since a few lines of aliases can stand for more than any memory holds.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import orjson
import yaml

from llmbench.errors import LlmbenchError
from llmbench.system.number_format import MIB, memory

DATA_BYTES = 8 << 30
"""Questions, and journals; the largest published data sets have files of little more than 1 GB."""
JSON_BYTES = 256 * MIB
"""A manifest, a summary, a model's config.json."""
YAML_BYTES = MIB
"""Settings."""
YAML_EXPANDED = 16 * MIB
"""Characters that settings may come to once their aliases are written out, with a few for each value."""
YAML_DEPTH = 100
NODE = 8
"""Characters that a value counts for beside its own."""

SHOWN = 200
"""Characters of a name that cannot be a path."""


def expanded(name: str, kind: type[LlmbenchError], setting: str) -> Path:
    """A path as a person writes it, with `~`.

    Raises:
        LlmbenchError: Of this kind: it cannot be a path.
    """
    if "\0" in name:
        raise kind(f"{setting} holds a NUL character; check it.")
    try:
        path = Path(name).expanduser()
        path.exists()  # where the name is too long this says so
    except (RuntimeError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise kind(f"{setting}={name[:SHOWN]} is not a path ({reason}); check it.") from error
    return path


def refuse_bytes(name: str | Path, kind: type[LlmbenchError], what: str) -> None:
    """Refuses a name that no JSON or YAML can hold, as the file system may have them from other times or machines.

    Raises:
        LlmbenchError: Of this kind: it holds bytes that are no UTF-8.
    """
    try:
        str(name).encode()
    except UnicodeEncodeError as error:
        raise kind(
            f"{what} holds bytes that are no UTF-8 ({str(name)!r}), which no run can write down; use another name."
        ) from error


def opened(path: str | os.PathLike[str], most_bytes: int = DATA_BYTES) -> IO[bytes]:
    """A file, open for reading; links are followed to the end and must lead to a regular file.

    Raises:
        OSError: There is none, it is something else, or it is larger; `strerror` says which.
    """
    path = os.fspath(path)
    try:
        return os.fdopen(_open(path, os.O_RDONLY, Path(path).stat(), most_bytes), "rb")
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name holds a NUL character", path) from error


def _open(path: str, flags: int, before: os.stat_result | None = None, most_bytes: int = sys.maxsize) -> int:
    """A descriptor of a file, of which `before` is the status; devices are not even opened, since some act on that."""
    if before is not None:
        _refuse(before, path, most_bytes)
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o644)
    try:
        _refuse(os.fstat(descriptor), path, most_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _refuse(status: os.stat_result, path: str, most_bytes: int = sys.maxsize) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "it is a link, and none is followed here", path)
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, a socket or a device, not a file"
        raise OSError(errno.EINVAL, f"it is a {kind}", path)
    if status.st_size > most_bytes:
        raise OSError(errno.EFBIG, f"it has {memory(status.st_size)}, more than {memory(most_bytes)}", path)


def read(path: str | os.PathLike[str], most_bytes: int = DATA_BYTES) -> bytes:
    """All of a regular file.

    Raises:
        OSError: As `opened`.
    """
    with opened(path, most_bytes) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {memory(most_bytes)}", os.fspath(path))
    return content


def refuse_special(path: Path) -> None:
    """Refuses to put a file where there is something else than one: renaming would replace a device or a pipe.

    Raises:
        OSError: There is; `strerror` says what.
    """
    with suppress(FileNotFoundError):
        _refuse(path.stat(), str(path))


def opened_to_add(path: Path, *, make: bool = True) -> int:
    """A file of a run that is added to, open for reading too. No link is followed, nothing waited for; `make` it where there is none.

    Raises:
        OSError: It is something else than a file, or cannot be written; `strerror` says which.
    """
    before = None
    with suppress(FileNotFoundError):
        before = path.lstat()
    return _open(str(path), os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | (os.O_CREAT if make else 0), before)


def torn(descriptor: int) -> bool:
    """Whether a file of lines ends within one, as a killed process or a full disk may leave it."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def write_new(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file that is to be renamed, to the disk; what stands there under its name is removed, and no link followed.

    Raises:
        OSError: It cannot be written.
    """
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, pieces: Iterable[bytes], *, shared: bool = False) -> None:
    """Writes a file as a whole: readers see the old one or the new one, after a crash of the machine too.

    Args:
        path: The file.
        pieces: Its content.
        shared: Whether several processes may write it at once; it is then that of the last.

    Raises:
        OSError: It cannot be written; nothing half is left.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part" if shared else f".{path.name}.part")
    try:
        write_new(part, pieces)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def keep_newest(folder: Path, most: int) -> None:
    """Removes all JSON files of a folder but the newest, as another process may at the same time; raises `OSError` where one cannot be removed."""
    written = sorted(folder.glob("*.json"), key=written_at, reverse=True)
    for old in written[most:]:
        old.unlink(missing_ok=True)


def written_at(path: Path) -> float:
    """When a file was last written, in seconds of the epoch; 0.0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def load_yaml(content: bytes) -> Any:  # noqa: ANN401 - whatever the file holds
    """What a YAML file holds, plain types only.

    Raises:
        ValueError: It is no YAML, asks for other types, is nested too deeply, or more than `YAML_EXPANDED` with its aliases written out.
    """
    try:
        text = content.decode("utf-8-sig")
        _look_through(text)
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe ones
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8") from error
    except yaml.YAMLError as error:
        raise ValueError(yaml_reason(error)) from error


def yaml_reason(error: yaml.YAMLError) -> str:
    """What is wrong, in a line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _look_through(text: str) -> None:
    """Follows the parser's events, which are as many as the file is long, whatever its aliases stand for."""
    sizes: dict[str, int] = {}
    open_ones: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        anchor = getattr(event, "anchor", None)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            open_ones.append((anchor, NODE))
            if len(open_ones) > YAML_DEPTH:
                raise ValueError(f"line {line} is nested more than {YAML_DEPTH} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_ones.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == name for name, _ in open_ones):
                raise ValueError(f"line {line} has an alias that holds itself")
            anchor, size = None, sizes.get(str(anchor), NODE)
        elif isinstance(event, yaml.ScalarEvent):
            size = NODE + len(event.value)
        else:
            continue
        if anchor is not None:
            sizes[anchor] = size
        outer, before = open_ones.pop()
        open_ones.append((outer, before + size))
        if before + size > YAML_EXPANDED:
            raise ValueError(f"line {line}: with its aliases written out it is too large")


def json_object(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one where there is none that can be read."""
    try:
        content = orjson.loads(read(path, JSON_BYTES))
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def cache_trouble(error: BaseException | None) -> str | None:
    """A sentence where the local cache of the hub cannot be written; None for other errors, such as a missing network."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOSPC,
        ):
            return (
                f"The local cache of the Hugging Face hub cannot be written ({error.filename or 'HF_HOME'}: {error.strerror}); "
                "set HF_HOME to a folder that can be."
            )
        error = error.__cause__ or error.__context__
    return None
