"""The system calls that a sandboxed program may make, as a seccomp filter for bubblewrap, and its own session keyring.

Every other call answers ENOSYS, as on a kernel that does not have it, so libraries fall back to what they did before: glibc uses
`clone` instead of `clone3`. Left out are, among others, kernel keys, io_uring, userfaultfd, bpf, perf events, mounts, namespaces,
ptrace, other ABIs, and everything that holds memory which nobody can count: memfd, huge pages, SysV IPC, message queues,
splice, inotify. libseccomp (https://github.com/seccomp/libseccomp) makes the filter from the tables below.
"""

import contextlib
import ctypes
import errno
import socket
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

from llmbench.errors import ConfigError

ALLOWED = """
    open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek
    dup dup2 dup3 fcntl ioctl flock fsync fdatasync truncate ftruncate fallocate fadvise64 copy_file_range
    stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents getdents64
    getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat mknod mknodat
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat umask utime utimes utimensat futimesat
    getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
    brk munmap mremap mprotect madvise msync mincore membarrier
    fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal
    getpid getppid gettid getpgid getpgrp setpgid getsid setsid getuid geteuid getgid getegid getresuid getresgid getgroups capget
    set_tid_address set_robust_list get_robust_list rseq futex futex_waitv arch_prctl uname sysinfo getcpu getrandom
    getrlimit setrlimit getrusage times getpriority
    sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_getattr sched_get_priority_max sched_get_priority_min
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack
    signalfd signalfd4 pause alarm getitimer setitimer restart_syscall
    time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep timer_create timer_settime timer_gettime
    timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime
    pipe pipe2 select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
    bind connect listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown
    getsockopt
""".split()  # noqa: SIM905 - a name a line would fill three screens
"""With any arguments."""
Condition = tuple[int, int, int]
"""Place of an argument, mask, and what the argument must be under the mask."""
ALL_BITS = (1 << 64) - 1
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET; the low byte of `clone`'s flags is a signal."""
MAP_HUGETLB = 0x40000
PRCTL = (1, 2, 3, 4, 15, 16, 36, 37, 38, 39, 0x53564D41)
"""Signal at the parent's death, dumpable, name, subreaper, no new privileges (each set and get), names of mappings."""
SOCKET_TYPE = 0x0F
"""The rest of a socket's type are flags."""
OPTIONS = [
    *((socket.SOL_SOCKET, option) for option in (
        socket.SO_REUSEADDR, socket.SO_KEEPALIVE, socket.SO_BROADCAST, socket.SO_LINGER, socket.SO_REUSEPORT,
        socket.SO_PASSCRED, socket.SO_RCVTIMEO, socket.SO_SNDTIMEO,
    )),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
]  # fmt: skip
"""Of sockets: none that changes the size of buffers or holds memory."""


def _equal(*values: int) -> list[Condition]:
    return [(place, ALL_BITS, value) for place, value in enumerate(values)]


CONDITIONAL: list[tuple[str, list[Condition]]] = [
    ("clone", [(0, NEW_NAMESPACES, 0)]),
    ("mmap", [(3, MAP_HUGETLB, 0)]),
    *(("prctl", _equal(option)) for option in PRCTL),
    ("prlimit64", _equal(0)),  # these three for the calling process alone, not for the box's own
    ("sched_setaffinity", _equal(0)),
    ("setpriority", _equal(0, 0)),
    ("socketpair", _equal(socket.AF_UNIX)),
    ("socket", _equal(socket.AF_UNIX)),
    *(
        ("socket", [(0, ALL_BITS, family), (1, SOCKET_TYPE, kind), (2, ALL_BITS, protocol)])
        for family in (socket.AF_INET, socket.AF_INET6)
        for kind, protocols in (
            (socket.SOCK_STREAM, (0, socket.IPPROTO_TCP)),
            (socket.SOCK_DGRAM, (0, socket.IPPROTO_UDP)),
        )
        for protocol in protocols
    ),
    *(("setsockopt", [(1, ALL_BITS, level), (2, ALL_BITS, option)]) for level, option in OPTIONS),
]
"""With these arguments alone: a call must meet all conditions of one of its lines."""
WITHOUT_ATTRIBUTES = ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
"""Answer EOPNOTSUPP, as a file system without attributes does; programs that copy files expect that. An access list would be memory beside a file's size."""
JOIN_SESSION_KEYRING = 1
UNKNOWN = -1
INSTALL = "install them with `pip install pyseccomp` and `apt install libseccomp2` (Fedora: `dnf install libseccomp`)"


def _library() -> Any:  # noqa: ANN401 - it has no stubs
    """The binding of libseccomp.

    Raises:
        ConfigError: It or libseccomp is not installed.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise ConfigError(
            f"sandbox=bwrap needs libseccomp and its Python binding, and one of them is missing ({error}): {INSTALL},"
            " or use sandbox=docker"
        ) from error
    return pyseccomp


@cache
def seccomp_filter() -> bytes:
    """The filter as a BPF program, made once in each process.

    Raises:
        ConfigError: libseccomp is not installed, or refuses a rule.
    """
    seccomp = _library()
    try:
        rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
        rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(errno.ENOSYS))
        for name, action, conditions in (
            *((name, seccomp.ALLOW, []) for name in ALLOWED),
            *((name, seccomp.ALLOW, conditions) for name, conditions in CONDITIONAL),
            *((name, seccomp.ERRNO(errno.EOPNOTSUPP), []) for name in WITHOUT_ATTRIBUTES),
        ):
            number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
            if number != UNKNOWN:  # to an older libseccomp: then it answers ENOSYS
                tests = [seccomp.Arg(place, seccomp.MASKED_EQ, *rest) for place, *rest in conditions]
                rules.add_rule(action, number, *tests)
        with tempfile.TemporaryFile() as file:
            rules.export_bpf(file)
            file.seek(0)
            return file.read()
    except OSError as error:
        raise ConfigError(f"libseccomp cannot make the sandbox's filter: {error}") from error


@cache
def keyring_joiner() -> Callable[[], object]:
    """What gives the calling process a new, empty session keyring in place of its parent's.

    Where the kernel has no keys or the user no room for one more, the filter alone keeps programs from keys.
    """
    seccomp = _library()
    number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, "keyctl")
    call = ctypes.CDLL(None).syscall
    return lambda: call(number, JOIN_SESSION_KEYRING, None)


def names(below: int) -> dict[int, str]:
    """The names of this machine's system calls with a number `below` this one.

    Raises:
        ConfigError: libseccomp is not installed.
    """
    seccomp = _library()
    found = {}
    for number in range(below):
        with contextlib.suppress(ValueError):
            found[number] = seccomp.resolve_syscall(seccomp.Arch.NATIVE, number).decode()
    return found
