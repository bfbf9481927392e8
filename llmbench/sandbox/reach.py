"""What a sandboxed program can still reach, found by trying: system calls, sockets, devices, folders and counters.

python -m llmbench.sandbox.reach
"""

import json
import sys
from typing import Any

from llmbench.errors import ConfigError, LlmbenchError
from llmbench.sandbox import Limits, Program, SandboxBox, Status
from llmbench.sandbox.system_calls import names

NUMBERS = 700
"""Linux 6.18 has fewer system calls."""
_TRY = """
import ctypes, errno, json, os, signal, socket, sys
from collections import Counter
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
        with open(os.open(path, flags | os.O_NONBLOCK), "rb" if flags == os.O_RDONLY else "wb", 0) as file:
            return flags != os.O_RDONLY or bool(file.read(1))
    except OSError:
        return False

def grouped(paths):
    places = Counter("/".join(p.split("/")[:3]) + "/" * (p.count("/") > 2) for p in paths)
    return [f"{place}({number})" if place.endswith("/") else place for place, number in places.items()]

families, kinds = ({each.value: each.name for each in known} for known in (socket.AddressFamily, socket.SocketKind))
tops = "/proc", "/proc/self/net", "/sys"
files = [os.path.join(folder, name) for top in tops for folder, _, names in os.walk(top) for name in names]
files = [p for p in files if not p.split("/")[2].isdigit() and (not p.startswith(("/proc/self/", "/proc/thread-self/")) or "/net/" in p)]
json.dump({
    "system calls": [KNOWN.get(n, f"number {n}") for n in range(NUMBERS) if any(answers(n, arguments) for arguments in ARGUMENTS)],
    "calls of another ABI (x32)": ["getpid"] * answers(1 << 30 | 39, ARGUMENTS[0]),
    "sockets": [f"{families.get(f, f)}/{kinds.get(k, k)}" for f in range(64) for k in range(1, 11) if opens(f, k)],
    "devices": [name for name in sorted(os.listdir("/dev")) if os.path.exists(f"/dev/{name}") and not os.path.isdir(f"/dev/{name}")],
    "folders at the root": sorted(os.listdir("/")),
    "folders that can be written": [f for f, _, _ in os.walk("/") if os.access(f, os.W_OK) and not f.startswith("/proc/")],
    "counters and settings that can be read": grouped(p for p in files if may(p, os.O_RDONLY)),
    "counters and settings that can be written": grouped(p for p in files if may(p, os.O_WRONLY)),
}, sys.stdout)
"""


def reach() -> dict[str, Any]:
    """What a program in the chosen sandbox can reach: lists of names, by kind.

    Raises:
        ConfigError: There is no sandbox, or the program that tries did not come to its end.
    """
    with SandboxBox(Limits(cpu_s=120, idle_s=120, wall_s=300)) as box:
        ran = box.run(Program(f"NUMBERS, KNOWN = {NUMBERS}, {names(NUMBERS)}\n{_TRY}"))
    if ran.status is not Status.DONE:
        raise ConfigError(f"the program that tries what it can reach ended early: {ran.status}, {ran.why}")
    found: dict[str, Any] = json.loads(ran.output)
    return found


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
