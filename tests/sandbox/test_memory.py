"""Memory that a sandboxed program holds outside its own: each kind has an end, and what ordinary programs hold does not count much."""

import mmap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import pytest

from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status

pytestmark = pytest.mark.usefixtures("sandboxed")
MIB = 1 << 20
LIMITS = Limits(cpu_s=8, idle_s=4, wall_s=30, memory_bytes=256 * MIB, processes=64)
START = """
import array, ctypes, mmap, os, select, socket, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
def in_each(number, hold):
    for _ in range(number):
        if os.fork() == 0:
            try: kept = hold()
            except OSError: pass
            time.sleep(9)
    time.sleep(9)
def fill(sender, size):
    sender.setblocking(False)
    try:
        while True: sender.send(bytes(size))
    except BlockingIOError: pass
def endless(make):
    kept = []
    try:
        while True: kept.append(make())
    except OSError: time.sleep(9)
def pair(kind, size):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    fill(a, size)
    return a, b
def connection():
    with socket.create_server(('127.0.0.1', 0)) as server:
        a = socket.create_connection(server.getsockname())
        b, _ = server.accept()
    a.setblocking(False)
    b.setblocking(False)
    try:
        for turn in range(999999):
            a.send(bytes(MIB))
            if turn < 20: b.recv(MIB)  # what is read makes the buffer grow
    except BlockingIOError: pass
    return a, b
MIB = 1 << 20
"""
TOO_MUCH = {
    "mappings shared by processes": """
def hold():
    shared = mmap.mmap(-1, 100 * MIB)
    shared.write(bytes(100 * MIB))
    return shared
in_each(4, hold)
""",
    "pages of a shared mapping that were let go of": """
def hold():
    shared = mmap.mmap(-1, 100 * MIB)
    for at in range(0, 100 * MIB, MIB):
        shared.write(bytes(MIB))
        shared.madvise(mmap.MADV_DONTNEED, at, MIB)
    return shared
in_each(5, hold)
""",
    "shared mappings of which a page is left": """
for _ in range(50):
    at = libc.mmap(None, ctypes.c_size_t(10 * MIB), 3, 0x21, -1, 0)
    ctypes.memset(at, 1, 10 * MIB)
    libc.munmap(ctypes.c_void_p(at + 4096), ctypes.c_size_t(10 * MIB - 4096))
time.sleep(9)
""",
    "shared mappings of a process that hides them": """
def hold():
    libc.prctl(4, 0, 0, 0, 0)
    shared = mmap.mmap(-1, 100 * MIB)
    for at in range(0, 100 * MIB, MIB):
        shared.write(bytes(MIB))
        shared.madvise(mmap.MADV_DONTNEED, at, MIB)
    return shared
in_each(5, hold)
""",
    "threads whose process seems to have ended": """
def later():
    time.sleep(0.3)
    held = b"x" * (100 * MIB)
    time.sleep(9)
def hold():
    threading.Thread(target=later).start()
    libc.pthread_exit(None)
in_each(5, hold)
""",
    "processes with a name that looks like a figure": """
def hold():
    libc.prctl(15, b'\\xff: 1 kB', 0, 0, 0)
    held = b'x' * (100 * MIB)
    time.sleep(9)
in_each(5, hold)
""",
    "empty files": "for number in range(400_000): os.close(os.open(f'/tmp/{number:0200d}', os.O_CREAT))\ntime.sleep(9)",
    "streams": "in_each(12, lambda: endless(lambda: pair(socket.SOCK_STREAM, 65536)))",
    "datagrams": "in_each(12, lambda: endless(lambda: pair(socket.SOCK_DGRAM, 100_000)))",
    "connections": "in_each(20, lambda: endless(connection))",
    "pieces of mappings": """
def hold():
    held = mmap.mmap(-1, 40_000 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    at = ctypes.addressof(ctypes.c_char.from_buffer(held))
    for page in range(0, 40_000, 2): libc.mprotect(ctypes.c_void_p(at + page * 4096), 4096, 1)
    return held
held = hold()
in_each(16, lambda: None)
""",
    "locks of parts of files": """
import fcntl, struct
for number in range(200):
    file = os.open(f'/tmp/{number}', os.O_CREAT | os.O_RDWR)
    for at in range(300): fcntl.fcntl(file, fcntl.F_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 2 * at, 1, 0))
time.sleep(9)
""",
    "pipes and watches": """
def hold():
    kept = [select.epoll() for _ in range(120)], [os.eventfd(0) for _ in range(120)]
    for watcher in kept[0]:
        for watched in kept[1]: watcher.register(watched)
    return kept
in_each(25, hold)
""",
}
ABSENT = {
    "files in memory": "os.memfd_create('a')",
    "files in memory on their way through a socket": """
a, b = socket.socketpair()
for _ in range(99):
    file = os.memfd_create('a')
    os.write(file, bytes(4 * MIB - 1))
    a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [file]))])
    os.close(file)
""",
    "attributes of files": "os.close(os.open('/tmp/a', os.O_CREAT))\nos.setxattr('/tmp/a', 'user.a', bytes(60_000))",
    "larger buffers": "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MIB)",
    "options of sockets": "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, 44, 1)",
    "huge pages": "mmap.mmap(-1, 2 * MIB, flags=0x40022)",
    "terminals": "os.openpty()",
    "SysV memory": "assert libc.shmget(0, 4096, 0o1600) >= 0",
    "pages lent to a pipe": "os.splice(os.open('/tmp', os.O_TMPFILE | os.O_RDWR), os.pipe()[1], 1)",
}
ORDINARY = {
    "a small shared mapping": "shared = mmap.mmap(-1, MIB)\nif not os.fork():\n    shared[:1] = b'1'\n    os._exit(0)\nos.wait()\nprint(shared[:1].decode())\ntime.sleep(0.1)",
    "a hidden process": "libc.prctl(4, 0, 0, 0, 0)\ntime.sleep(0.1)\nprint(1)",
    "thousands of files": "for number in range(5000): os.close(os.open(f'/tmp/{number}', os.O_CREAT))\ntime.sleep(0.1)\nprint(1)",
    "a database": "import sqlite3\nkept = [sqlite3.connect(f'/tmp/{number}') for number in range(9)]\nfor one in kept: one.execute('create table t (a)'); one.execute('begin exclusive')\ntime.sleep(0.1)\nprint(1)",
    "a hundred sockets": "kept = [socket.socketpair() for _ in range(50)]\ntime.sleep(0.1)\nprint(1)",
    "two connections": "kept = connection(), connection()\ntime.sleep(0.1)\nprint(1)",
    "sixteen processes": "for _ in range(15):\n    if not os.fork(): time.sleep(0.2); os._exit(0)\ntime.sleep(0.1)\nprint(1)",
}


@cache
def box() -> SandboxBox:
    return SandboxBox(LIMITS)


@pytest.fixture(scope="module", autouse=True)
def _box_is_closed() -> Iterator[None]:
    yield
    box().close()
    box.cache_clear()


def run(code: str) -> Ran:
    """Runs a program; afterwards everything that it held is free: the same box runs another."""
    ran = box().run(Program(START + code))
    assert box().run(Program("print(1)")).output == "1\n"
    return ran


@pytest.mark.parametrize("what", TOO_MUCH)
def test_memory_of_every_kind_counts(what: str) -> None:
    assert run(TOO_MUCH[what]).status is Status.MEMORY_LIMIT


@pytest.mark.parametrize("what", ABSENT)
def test_what_cannot_be_counted_is_not_there(what: str) -> None:
    ran = run(ABSENT[what])
    assert ran.status is Status.RUNTIME_ERROR, ran
    assert "Error" in ran.why


def test_what_the_machine_shares_counts_only_for_who_may_share_it_too() -> None:
    """What other programs share meanwhile is not a judge's that hides, nor of a program that shares nothing."""
    code = f"{START}if HIDES: libc.prctl(4, 0, 0, 0, 0)\nprint(1, flush=True)\ntime.sleep(1)"
    less = replace(LIMITS, memory_bytes=128 * MIB)
    for hides, limits in ((True, replace(less, may_hide=True)), (False, less)):
        with SandboxBox(limits) as opened, ThreadPoolExecutor() as thread:
            opened.run(Program("print(1)"))
            running = thread.submit(opened.run, Program(f"HIDES = {hides}\n{code}"))
            time.sleep(0.3)
            with mmap.mmap(-1, 2 * limits.memory_bytes) as shared:
                for _ in range(2 * limits.memory_bytes // MIB):
                    shared.write(bytes(MIB))
                assert running.result().status is Status.DONE


@pytest.mark.parametrize("what", ORDINARY)
def test_what_programs_hold_is_no_reason_to_end_them(what: str) -> None:
    ran = run(ORDINARY[what])
    assert (ran.status, ran.output) == (Status.DONE, "1\n"), ran
