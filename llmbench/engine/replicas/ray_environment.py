"""What Ray finds around it: environment, signal handlers, space; and what it would not say by itself."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from llmbench.errors import EngineError
from llmbench.system.processes import environment
from llmbench.system.signals import ENDING

FOLDER = "LLMBENCH_RAY"
"""The environment variable with the folder, in Ray's processes."""
TOKEN = secrets.token_hex(32)
"""Without it no other program is let in. One for all clusters of this process, since Ray reads it once."""
PRIVATE: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # only then are all ports on the loopback interface, on Linux too
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
}
"""What Ray is started with here: it tells nobody, and listens to nobody else."""
ANSWER_S = 5.0
TEMPORARY = "/tmp"  # noqa: S108 - the names of Ray's sockets must be short


@contextmanager
def own_signal_handlers() -> Iterator[None]:
    """Ray takes SIGTERM for itself; afterwards the handlers are those from before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def ray_variables(folder: str | None) -> Iterator[None]:
    """Inside, a Ray of this run's own finds its variables alone, and where its folder is; without one the user's stay."""
    theirs = {name: value for name, value in os.environ.items() if folder and name.startswith("RAY_")}
    try:
        for name in theirs:
            os.environ.pop(name)
        with environment({**PRIVATE, FOLDER: folder} if folder else {}):
            yield
    finally:
        os.environ.update(theirs)


def check_address(address: str | None) -> None:
    """Refuses an address where nothing listens, which Ray would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), ANSWER_S).close()
        except OSError as error:
            raise EngineError(
                f"No Ray cluster answers at engine.ray_address={address} ({error.strerror or error})."
            ) from error
