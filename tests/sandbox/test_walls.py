"""System calls, kernel keys and sockets of the sandbox: what no program under test needs is not there, and what they need is."""

import ctypes
import sys
from collections.abc import Iterator
from functools import cache, partial

import pytest

from llmbench import sandbox
from llmbench.errors import ConfigError
from llmbench.sandbox import Limits, Program, Ran, SandboxBox, Status, system_calls
from llmbench.sandbox.reach import main, reach

pytestmark = pytest.mark.usefixtures("sandboxed")
CALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    answer = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return os.strerror(ctypes.get_errno()) if answer == -1 else answer
"""
MISSING = "Function not implemented"
ABSENT = {
    "keyctl": (1, 0), "add_key": (b"user", b"a", b"b", 1, -2), "request_key": (b"user", b"a", 0, 0),
    "io_uring_setup": (1, 0), "io_uring_enter": (-1, 0, 0, 0, 0), "io_uring_register": (-1, 0, 0, 0),
    "userfaultfd": (0,), "bpf": (0, 0, 0), "perf_event_open": (0, 0, -1, -1, 0), "memfd_secret": (0,), "memfd_create": (b"a", 0),
    "mount": (b"a", b"/tmp", b"tmpfs", 0, 0), "umount2": (b"/tmp", 0), "fsopen": (b"tmpfs", 0), "open_tree": (-100, b"/", 0),
    "move_mount": (-1, 0, -1, 0, 0), "mount_setattr": (-1, 0, 0, 0, 0), "pivot_root": (b"/", b"/"), "chroot": (b"/",),
    "unshare": (0,), "setns": (-1, 0), "clone3": (0, 0), "ptrace": (0, 0, 0, 0), "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0), "pidfd_getfd": (-1, 0, 0), "kcmp": (1, 1, 0, 0, 0), "process_madvise": (-1, 0, 0, 0, 0),
    "kexec_load": (0, 0, 0, 0), "init_module": (0, 0, b""), "finit_module": (-1, b"", 0), "delete_module": (b"a", 0),
    "open_by_handle_at": (-1, 0, 0), "name_to_handle_at": (-1, b"/", 0, 0, 0), "personality": (0x40000,),
    "seccomp": (2, 0, 0), "shmget": (0, 4096, 0o1600), "msgget": (0, 0o1600), "semget": (0, 1, 0o1600), "mq_open": (b"a", 0o102, 0o600, 0),
    "vmsplice": (-1, 0, 0, 0), "splice": (-1, 0, -1, 0, 0, 0), "tee": (-1, -1, 0, 0), "inotify_init1": (0,), "fanotify_init": (0, 0),
    "io_setup": (1, 0), "syslog": (3, 0, 0), "swapon": (b"a", 0), "reboot": (0, 0, 0, 0), "quotactl": (0, 0, 0, 0),
    "landlock_create_ruleset": (0, 0, 1), "migrate_pages": (1, 0, 0, 0), "move_pages": (1, 0, 0, 0, 0, 0), "ioprio_set": (1, 1, 0),
    "sched_setscheduler": (1, 0, 0), "mbind": (0, 0, 0, 0, 0, 0),
}  # fmt: skip


@cache
def box() -> SandboxBox:
    return SandboxBox(Limits(cpu_s=5, wall_s=60))


@pytest.fixture(scope="module", autouse=True)
def _box_is_closed() -> Iterator[None]:
    yield
    box().close()
    box.cache_clear()


def run(code: str) -> Ran:
    return box().run(Program(CALL + code))


def number(name: str) -> int:
    seccomp = pytest.importorskip("pyseccomp")
    return int(seccomp.resolve_syscall(seccomp.Arch.NATIVE, name))


def test_system_calls_that_no_program_needs_are_not_there() -> None:
    calls = {name: (number(name), *arguments) for name, arguments in ABSENT.items()}
    ran = run(f"for name, arguments in {calls!r}.items(): print(name, call(*arguments))")
    assert ran.status is Status.DONE, ran
    assert [line for line in ran.output.splitlines() if not line.endswith(MISSING)] == []
    assert len(ran.output.splitlines()) == len(ABSENT)


def test_calls_that_no_kernel_had_when_this_was_written_are_not_there_either() -> None:
    assert run(f"print({{call(n) for n in range(480, 1000)}} == {{{MISSING!r}}})").output == "True\n"


@pytest.mark.parametrize(
    "flag", [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_namespace_is_made(flag: int) -> None:
    assert run(f"print(call({number('clone')}, {flag} | 17, 0, 0, 0, 0))").output == f"{MISSING}\n"


@pytest.mark.skipif(sys.maxsize < 1 << 32 or number("open") != 2, reason="x32 is an ABI of x86-64")
def test_calls_of_another_abi_are_not_there() -> None:
    assert (
        run(f"print(call((1 << 30) | {number('keyctl')}, 1, 0), call((1 << 30) | 39))").output
        == f"{MISSING} {MISSING}\n"
    )


def test_socket_families_are_few() -> None:
    code = "print([f for f in [*range(64), 40 | 1 << 32] if isinstance(call({0}, f, {1}, 0), int)])"
    for kind, families in ((1, "[1, 2, 10]"), (2, "[1, 2, 10]"), (3, "[1]"), (5, "[1]")):
        assert run(code.format(number("socket"), kind)).output == f"{families}\n", kind
    assert (
        run("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)").status
        is Status.RUNTIME_ERROR
    )  # MPTCP
    assert (
        run("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)").status
        is Status.RUNTIME_ERROR
    )  # ICMP


def test_keys_of_whoever_started_it_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the filter too: the keyring is another wall."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = partial(libc.syscall, number("keyctl"))
    if call(1, None) == -1:
        pytest.skip("no kernel keys here")
    key = libc.syscall(number("add_key"), b"user", b"llmbench-test", b"secret", 6, -3)
    assert key > 0
    search = f"print(call({number('keyctl')}, 10, -3, b'user', b'llmbench-test', 0))"
    assert run(search).output == f"{MISSING}\n"
    monkeypatch.setattr(system_calls, "ALLOWED", [*system_calls.ALLOWED, "keyctl"])
    system_calls.seccomp_filter.cache_clear()
    try:
        with SandboxBox(Limits(cpu_s=5, wall_s=60)) as opened:  # with the filter of now
            assert "key" in opened.run(Program(CALL + search)).output  # Required key not available
    finally:
        system_calls.seccomp_filter.cache_clear()
        call(9, key, -3)  # unlink


def test_no_limit_of_another_process_is_changed() -> None:
    assert (
        run("import resource\nresource.prlimit(1, resource.RLIMIT_CPU, (0, 0))").status
        is Status.RUNTIME_ERROR
    )
    assert run("import os\nos.sched_setaffinity(1, {0})").status is Status.RUNTIME_ERROR
    assert run("import os\nos.setpriority(os.PRIO_USER, 0, 19)").status is Status.RUNTIME_ERROR


ORDINARY = {
    "threads": "import threading\nt = threading.Thread(target=print, args=(1,))\nt.start()\nt.join()",
    "a child": "import subprocess\nprint(subprocess.run(['echo', '1'], capture_output=True, text=True).stdout.strip())",
    "a shell": "import os\nprint(os.popen('true | echo 1').read().strip())",
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return await asyncio.to_thread(int, '1')\nprint(asyncio.run(f()))",
    "processes": "from multiprocessing import Pool\nwith Pool(2) as pool: print(pool.map(abs, [-1])[0])",
    "shared values": "import multiprocessing as m\nv = m.Value('i', 0)\ndef f():\n    with v.get_lock(): v.value += 1\np = m.Process(target=f)\np.start()\np.join()\nprint(v.value)",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory as S\ns = S(create=True, size=64)\ns.buf[0] = 1\nprint(s.buf[0])\ns.close()\ns.unlink()",
    "a server": "import socketserver, threading, socket\ns = socketserver.TCPServer(('127.0.0.1', 0), socketserver.StreamRequestHandler)\nt = threading.Thread(target=s.handle_request)\nt.start()\nsocket.create_connection(s.server_address).close()\nt.join()\nprint(1)",
    "files": "import shutil, tempfile, pathlib\nd = pathlib.Path(tempfile.mkdtemp())\n(d / 'a').write_text('1')\nshutil.copy2(d / 'a', d / 'b')\nprint(shutil.copytree(d, d.with_name('c')).joinpath('b').read_text())",
    "a mapped file": "import mmap\nf = open('/tmp/a', 'w+b')\nf.write(b'1')\nf.flush()\nprint(mmap.mmap(f.fileno(), 0)[:].decode())",
    "zeros": "print(open('/dev/zero', 'rb').read(2) == bytes(2) and 1)",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))\nprint(1)",
    "signals": "import signal\nsignal.signal(14, lambda *_: print(1))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause()",
    "numpy": "try:\n    import numpy as n\n    print(int((n.ones((99, 99)) @ n.eye(99))[0, 0]))\nexcept ImportError:\n    print(1)",
}


@pytest.mark.parametrize("what", ORDINARY)
def test_what_programs_do_still_works(what: str) -> None:
    ran = run(ORDINARY[what])
    assert (ran.status, ran.output) == (Status.DONE, "1\n"), ran


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'pyseccomp'"), RuntimeError("Unable to find libseccomp")]
)
def test_without_libseccomp_it_says_what_to_install(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "pyseccomp":
                raise error

    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    system_calls.seccomp_filter.cache_clear()
    with pytest.raises(
        ConfigError, match=r"needs libseccomp .*pip install pyseccomp.*apt install libseccomp2"
    ):
        sandbox.check()


def test_what_can_be_reached_is_what_is_listed() -> None:
    found = reach()
    allowed = {
        *system_calls.ALLOWED,
        *(name for name, _ in system_calls.CONDITIONAL),
        *system_calls.WITHOUT_ATTRIBUTES,
    }
    # The kernel lets these two past every filter; without a probe of its own they end the process.
    assert set(found["system calls"]) - {"number 335", "number 336", "uretprobe", "uprobe"} <= allowed
    assert {"read", "clone", "mmap", "prctl", "setsockopt"} <= set(found["system calls"])
    assert {place.split("/")[0] for place in found["sockets"]} == {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert found["folders that can be written"] == ["/tmp", "/dev/shm"]  # noqa: S108 - the box's own
    assert set(found["devices"]) <= {
        "full",
        "null",
        "random",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    assert not any("sys" in folder for folder in found["folders at the root"])
    assert "/proc/meminfo" in found["counters and settings that can be read"]
    for nothing in ("calls of another ABI (x32)", "counters and settings that can be written"):
        assert found[nothing] == []


def test_the_list_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        "llmbench.sandbox.reach.reach", lambda: {"sockets": ["AF_UNIX/SOCK_STREAM"], "devices": []}
    )
    assert main() == 0
    assert capsys.readouterr().out == "sockets (1): AF_UNIX/SOCK_STREAM\ndevices (0)\n"
