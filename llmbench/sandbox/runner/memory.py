"""The memory that a job holds, wherever it holds it: in processes, in mappings that they share, in sockets and in files' inodes.

What cannot be counted is not there: the filter of system calls leaves out memfd, SysV memory, splice and sizes of buffers.
"""

import contextlib
import os
import socket
from collections.abc import Iterator

from .cpu_time import stat
from .processes import inodes, writable

PRIVATE = (b"RssAnon:", b"VmSwap:", b"VmPTE:")
"""Of `/proc/PID/status`: memory of its own, swapped out too, and page tables."""
SHARED = b"RssShmem:"
SHARED_MAPPING = b"/dev/zero (deleted)"
"""How `maps` calls memory that is shared without a file."""
MAPPING_BYTES, MOST_MAPPINGS = 256, 65530
"""What the kernel holds for a mapping, and how many a process may have (vm.max_map_count's default)."""
MOST_READ = 1 << 16
"""Bytes that are read of `maps` and `locks`, nearly a thousand lines each: reading all could take longer than filling the memory."""
LOCK_BYTES, MOST_LOCKS = 256, 1 << 30
"""What a lock of a part of a file holds; a job with more locks than are read counts as one with this many: no program needs so many."""
FILE_BYTES, WATCH_BYTES = 8192, 200
"""What an open file may hold, such as a pipe that may not grow, and one file's watch on another (epoll)."""
INODE_BYTES = 1536
"""What the kernel holds for an empty file with a long name (measured: 1,500)."""


class Memory:
    """What processes other than this one hold, of which a box has none before its job begins."""

    def __init__(self, trusted: int | None = None) -> None:
        """Remembers what the whole machine shares at the beginning; the `trusted` process may hide its mappings."""
        self._trusted = f"/proc/{trusted}"
        self._shared_before = _shared_by_all()

    def held(self) -> int:
        """Bytes.

        A process can let go of pages that it shares without freeing them, so its own figure is not enough: where one
        shares memory without a file, what the whole machine shares more than at the beginning counts if that is larger.
        """
        private = shared = 0
        may_share = False
        for process in _processes():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
                figures = _figures(f"{process}/status", *PRIVATE, SHARED)
                private += sum(figures.get(name, 0) for name in PRIVATE)
                shared += figures.get(SHARED, 0)
                mappings, shares = _mappings(process)
                private += mappings * MAPPING_BYTES + _files(process)
                may_share |= shares and process != self._trusted
        if may_share:
            shared = max(shared, _shared_by_all() - self._shared_before)
        return (
            private + shared + sum(map(inodes, writable())) * INODE_BYTES + _locks() * LOCK_BYTES + _sockets()
        )


def _processes() -> Iterator[str]:
    """Folders in /proc, one for each process with memory but this one: of its first thread, or of another where that has ended."""
    own = str(os.getpid())
    for name in os.listdir("/proc"):  # noqa: PTH208 - fifty times a second
        if not name.isdigit() or name == own:
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            if stat(int(name))[0] != b"Z":
                yield f"/proc/{name}"
                continue
            threads = [thread for thread in os.listdir(f"/proc/{name}/task") if thread != name]  # noqa: PTH208
            yield from (f"/proc/{name}/task/{thread}" for thread in threads[:1])


def _figures(path: str, *names: bytes) -> dict[bytes, int]:
    """Bytes by name. A process chooses what other lines of its `status` hold."""
    lines = (line.split() for line in _read(path).splitlines() if line.startswith(names))
    return {name: int(number) << 10 for name, number, _ in lines}


def _mappings(process: str) -> tuple[int, bool]:
    """How many, and whether one may be shared without a file. A process with more than are read, or that hides them, counts as one with the most."""
    try:
        maps = _read(f"{process}/maps", MOST_READ)
    except PermissionError:
        return MOST_MAPPINGS, True
    if len(maps) == MOST_READ:
        return MOST_MAPPINGS, True
    return maps.count(b"\n"), SHARED_MAPPING in maps


def _files(process: str) -> int:
    """The most that the open files hold: half of them may watch the other half, and each thread may have others. Known from Linux 6.2 on."""
    total = 0
    for thread in os.listdir(f"{process}/task"):  # noqa: PTH208 - fifty times a second
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            number = os.stat(f"{process}/task/{thread}/fd").st_size  # noqa: PTH116
            total += number * FILE_BYTES + number * number // 4 * WATCH_BYTES
    return total


def _shared_by_all() -> int:
    """Bytes that all processes of the machine share, files in memory included."""
    return _figures("/proc/meminfo", b"Shmem:").get(b"Shmem:", 0)


def _locks() -> int:
    locks = _read("/proc/locks", MOST_READ)
    return MOST_LOCKS if len(locks) == MOST_READ else locks.count(b"\n")


def _sockets() -> int:
    """The most that the namespace's sockets can hold: full buffers for each; TCP's grow, so there what the whole machine holds, if less."""
    counts: dict[bytes, dict[bytes, int]] = {}
    for file in ("sockstat", "sockstat6"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            for line in _read(f"/proc/net/{file}").splitlines():
                kind, *words = line.split()
                counts[kind] = {
                    word: int(number) for word, number in zip(words[::2], words[1::2], strict=False)
                }
    used = counts[b"sockets:"][b"used"]
    tcp = sum(counts.get(kind, {}).get(b"inuse", 0) for kind in (b"TCP:", b"TCP6:"))
    with socket.socket(socket.AF_UNIX) as one:
        buffers = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) + one.getsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF
        )
    grown = sum(int(_read(f"/proc/sys/net/ipv4/tcp_{way}mem").split()[2]) for way in "rw") if tcp else 0
    pages = counts[b"TCP:"][b"mem"] if tcp else 0
    return used * buffers + min(tcp * grown, pages * os.sysconf("SC_PAGE_SIZE"))


def _read(path: str, most: int = -1) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - fifty times a second
        return file.read(most)
