"""Starts a sandbox: what bubblewrap or Docker is asked for, and what programs in there see of this machine.

bubblewrap (https://github.com/containers/bubblewrap) gives a box namespaces of its own (user, mount, pid, ipc, uts, cgroup and
network, with nothing but a loopback), a read-only system of /usr and the Python that runs llmbench, a small /tmp, no capabilities.
As root, it becomes another user first: limits on processes mean nothing to root.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from llmbench.errors import ConfigError
from llmbench.sandbox.records import Limits
from llmbench.sandbox.system_calls import keyring_joiner, seccomp_filter

KINDS = ("bwrap", "docker", "none")
VARIABLE = "LLMBENCH_SANDBOX"
"""Says the kind to processes that this one starts."""
RUNNER = Path(__file__).with_name("runner")
BEGIN = "import sys; sys.path.append(sys.argv[2]); from runner.main import main; sys.path.pop(); main(boxed=sys.argv[1] == 'boxed')"
"""Of the process in there: what it imports of llmbench is the folder `runner`, which no program finds on its path."""
IMAGE = "python:3.11-slim"
"""What `sandbox=docker` runs in."""
FLAGS = ("-s", "-S", "-B")
"""Of the Python in there. Not -I, which would ignore PYTHONHASHSEED: the order of a set would differ from run to run."""
NICE = 10
"""The engine's threads come first."""
FOREIGN_UID = 700_000
"""As root, a box's user: this and a part of the process id, so that one box's processes do not count for another."""
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache", "/etc/alternatives",
)  # fmt: skip
PACKAGES = (
    "numpy", "numpy.libs",
    "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "py.py", "exceptiongroup", "tomli",
)  # fmt: skip
"""Beside the standard library: what programs for contests use, and what tests of repositories are run with."""
HOST = "llmbench"


def choose(kind: str) -> None:
    """Says which sandbox this process and those it starts use: `bwrap`, `docker` or `none`."""
    os.environ[VARIABLE] = kind


def chosen() -> str:
    """The kind that was chosen; `bwrap` unless another was."""
    return os.environ.get(VARIABLE, "bwrap")


CURE = (
    "; code benchmarks need bubblewrap that may make namespaces (apt install bubblewrap), or sandbox=docker; "
    "sandbox=none runs what the model writes with nothing around it."
)


def require(kind: str) -> list[str]:
    """The program that makes the sandbox.

    Raises:
        ConfigError: It is not installed.
    """
    if kind == "none":
        return []
    found = shutil.which(kind)
    if found is None:
        raise ConfigError(f"sandbox={kind} needs the program {kind}, which is not installed{CURE}")
    if kind == "bwrap":
        seccomp_filter()
    return [found]


def start(kind: str, limits: Limits, seen: Sequence[Path]) -> "subprocess.Popen[bytes]":
    """Starts a sandbox's first process, which runs `runner/`.

    Raises:
        ConfigError: There is no sandbox of this kind on this machine.
    """
    words = require(kind)
    options: dict[str, Any] = {}
    files: list[int] = []
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if kind == "bwrap":
        if os.getuid() == 0:
            uid = FOREIGN_UID + os.getpid() % 100_000
            options = {"user": uid, "group": uid, "extra_groups": []}
        words += bubblewrap(limits, files, seen)
    elif kind == "docker":
        words += docker(limits, seen)
        environment = dict(os.environ)
    else:
        words = [sys.executable, *FLAGS, "-c", BEGIN, "plain", str(RUNNER.parent)]
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/" if kind == "bwrap" else None,
            start_new_session=True,
            pass_fds=files,
            preexec_fn=_prepare(kind) if kind != "docker" else None,  # noqa: PLW1509 - workers have one thread
            **options,
        )
    except OSError as error:
        raise ConfigError(f"the sandbox ({kind}) cannot be started: {error}{CURE}") from error
    finally:
        for file in files:
            os.close(file)


def _prepare(kind: str) -> Callable[[], None]:
    """What the new process does before it becomes the sandbox's."""
    join = keyring_joiner() if kind == "bwrap" else None

    def prepare() -> None:
        os.nice(NICE)
        if join is not None:
            join()

    return prepare


def bubblewrap(limits: Limits, files: list[int], seen: Sequence[Path] = ()) -> list[str]:
    """Bubblewrap's arguments and the command; what runs inside comes as an open file, since the box's user may not reach it."""
    files.append(_readable(seccomp_filter()))
    no_more = ["--disable-userns"] if "--disable-userns" in _help() else []
    words = [
        "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", HOST,
        "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", *no_more, "--seccomp", str(files[-1]),
    ]  # fmt: skip
    for path in SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - beside the next line
            words += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        elif os.path.exists(path):  # noqa: PTH110
            words += ["--ro-bind", path, path]
    python, folders = _python()
    folders = [*folders, *((str(path), f"/folder/{place}") for place, path in enumerate(seen))]
    for folder, inside in folders:
        words += ["--ro-bind", folder, inside]
    for source in RUNNER.glob("*.py"):
        files.append(os.open(source, os.O_RDONLY))
        words += ["--perms", "0444", "--ro-bind-data", str(files[-1]), f"/runner/{source.name}"]
    size = str(limits.disk_bytes)
    words += [
        "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev", "--size", "4096", "--tmpfs", "/dev/pts",
        "--remount-ro", "/dev/pts", "--size", str(1 << 20), "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
        "--perms", "0700", "--size", size, "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",
    ]  # fmt: skip
    return [*words, "--", python, *FLAGS, "-c", BEGIN, "boxed", "/"]


def _readable(data: bytes) -> int:
    """A file to read this from, which must fit into a pipe."""
    read, write = os.pipe()
    with open(write, "wb") as pipe:  # noqa: PTH123 - an open file
        pipe.write(data)
    return read


@cache
def _help() -> str:
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout


@cache
def _python() -> tuple[str, list[tuple[str, str]]]:
    """The interpreter as the box sees it, and the folders to bind for it.

    This one's; as root, where no other user can reach it, the system's own. With the packages above where it has them.

    Raises:
        ConfigError: There is none that the box's user can reach.
    """
    base, folders = Path(sys.base_prefix).resolve(), []
    if not reachable(base):
        system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
        if system is None or not reachable(Path(system).resolve()):
            raise ConfigError(
                f"the sandbox's user cannot reach the Python in {base}, and there is none in /usr/bin{CURE}"
            )
        python = system
    elif base.parts[:2] == ("/", "usr"):
        python = str(base / "bin" / "python3")
    else:
        python = "/python/bin/python3"
        folders.append((str(base), "/python"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if python.startswith("/usr") and not Path(python).resolve().name.startswith(version):
        return python, folders  # packages of another version are of no use
    site = Path(sysconfig.get_path("platlib"))
    found = [(site / name, f"/packages/{name}") for name in PACKAGES if (site / name).exists()]
    return python, [*folders, *((str(path), to) for path, to in found if reachable(path.resolve()))]


def reachable(path: Path) -> bool:
    """Whether the box's user can go there: any other than root's folders, as root."""
    if os.getuid():
        return True
    need = 0o005 if path.is_dir() else 0o004
    return path.stat().st_mode & need == need and all(
        folder.stat().st_mode & 0o001 for folder in path.parents
    )


def docker(limits: Limits, seen: Sequence[Path] = ()) -> list[str]:
    """Docker's arguments and the command."""
    memory = str(limits.memory_bytes + limits.disk_bytes)
    folders = [word for place, path in enumerate(seen) for word in ("-v", f"{path}:/folder/{place}:ro")]
    return [
        "run", *folders, "--rm", "-i", "--init=false", "--network", "none", "--read-only", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--user", "65534:65534", "--pids-limit", str(limits.processes + 8),
        "--memory", memory, "--memory-swap", memory, "--cpus", "1", "--ipc", "private",
        "--tmpfs", f"/tmp:rw,nosuid,nodev,size={limits.disk_bytes},mode=1777", "-v", f"{RUNNER}:/runner:ro",
        "-w", "/tmp", "-e", "HOME=/tmp", "-e", "PYTHONHASHSEED=0", "-e", "PYTHONSAFEPATH=1",
        IMAGE, "python3", *FLAGS, "-c", BEGIN, "boxed", "/",
    ]  # fmt: skip
