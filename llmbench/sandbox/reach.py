"""What a sandboxed program can still reach, found by trying: system calls, sockets, devices, folders and counters.

python -m llmbench.sandbox.reach
"""

import json
import socket
import sys
from collections import Counter

from llmbench.errors import ConfigError, LlmbenchError
from llmbench.sandbox import Limits, Program, SandboxBox, Status
from llmbench.sandbox.system_calls import names

NUMBERS = 700
"""Linux 6.18 has fewer system calls."""
_TRY = """
import ctypes, errno, json, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
# Arguments of which one set gets past the filter's conditions on arguments, where a call may be made at all.
ARGUMENTS = (-1,) * 6, (0,) * 6, (1,) * 6, (1, 1, 2, 0, 0, 0)

def answers(number, arguments):
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # some wait for ever
        libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
        os._exit(99 if ctypes.get_errno() == errno.ENOSYS else 0)
    return os.waitpid(child, 0)[1] != 99 << 8

def opens(family, kind):
    try:
        socket.socket(family, kind).close()
    except OSError:
        return False
    return True

def may(path, flags):
    try:
        file = os.open(path, flags | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return flags != os.O_RDONLY or bool(os.read(file, 1))
    except OSError:
        return False
    finally:
        os.close(file)

tops = "/proc", "/proc/self/net", "/sys"
files = [os.path.join(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
files = [p for p in files if not p.split("/")[2].isdigit() and (not p.startswith(("/proc/self/", "/proc/thread-self/")) or "/net/" in p)]
json.dump({
    "calls": [n for n in range(NUMBERS) if any(answers(n, arguments) for arguments in ARGUMENTS)],
    "other_abi": answers(1 << 30 | 39, ARGUMENTS[0]),
    "sockets": [(family, kind) for family in range(64) for kind in range(1, 11) if opens(family, kind)],
    "devices": [name for name in sorted(os.listdir("/dev")) if os.path.exists(f"/dev/{name}") and not os.path.isdir(f"/dev/{name}")],
    "folders": sorted(os.listdir("/")),
    "writable": [folder for folder, _, _ in os.walk("/") if os.access(folder, os.W_OK) and not folder.startswith("/proc/")],
    "read": [path for path in files if may(path, os.O_RDONLY)],
    "written": [path for path in files if may(path, os.O_WRONLY)],
}, sys.stdout)
"""


def reach() -> dict[str, list[str]]:
    """What a program in the chosen sandbox can reach, by kind.

    Raises:
        ConfigError: There is no sandbox, or the program that tries did not come to its end.
    """
    with SandboxBox(Limits(cpu_s=120, idle_s=120, wall_s=300)) as box:
        ran = box.run(Program(f"NUMBERS = {NUMBERS}\n{_TRY}"))
    if ran.status is not Status.DONE:
        raise ConfigError(f"the program that tries what it can reach ended early: {ran.status}, {ran.why}")
    found = json.loads(ran.output)
    known = names(NUMBERS)
    return {
        "system calls": [known.get(number, f"number {number}") for number in found["calls"]],
        "calls of another ABI (x32)": ["getpid"] if found["other_abi"] else [],
        "sockets": [
            f"{_name(socket.AddressFamily, family)}/{_name(socket.SocketKind, kind)}"
            for family, kind in found["sockets"]
        ],
        "devices": found["devices"],
        "folders at the root": found["folders"],
        "folders that can be written": found["writable"],
        "counters and settings that can be read": _grouped(found["read"]),
        "counters and settings that can be written": _grouped(found["written"]),
    }


def _grouped(paths: list[str]) -> list[str]:
    """Files of a folder as the folder and their number."""
    numbers = Counter(
        "/".join([*parts[:3], ""]) if parts[3:] else path for path in paths if (parts := path.split("/"))
    )
    return [f"{place}({number})" if place.endswith("/") else place for place, number in numbers.items()]


def _name(kinds: type[socket.AddressFamily] | type[socket.SocketKind], number: int) -> str:
    try:
        return kinds(number).name
    except ValueError:
        return str(number)


def main() -> int:
    """Prints it. Returns the exit status."""
    try:
        found = reach()
    except LlmbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for kind, things in found.items():
        sys.stdout.write(f"{kind} ({len(things)})" + ": " * bool(things) + " ".join(things) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
