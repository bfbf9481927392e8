"""The servers that `python -m llmbench.serve` runs on this machine, each written down in a file of the cache folder."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from llmbench.config.engine import EngineConfig
from llmbench.config.schema import ModelConfig
from llmbench.engine.bundled_model import cache_folder
from llmbench.engine.endpoint.address import Address
from llmbench.engine.endpoint.server import Server, same_model
from llmbench.errors import ConfigError, RunError
from llmbench.system import decoding, files
from llmbench.system.processes import process_space, started

LOGS = 10
"""Logs that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server, while the process that started it lives.

    Attributes:
        url: Where it is, as `engine.base_url` takes it.
        model: What it calls its model.
        root: What the model was loaded from.
        pid: The process of `llmbench.serve`, with which the server ends.
        started: When that process started.
        log: vLLM's own log.
        settings: What the server was started with.
        key_variable: The environment variable with the key that it asks for.
        ready: Whether it has answered.
    """

    url: str
    model: str
    root: str
    pid: int
    started: str
    log: str
    settings: dict[str, Any] = field(default_factory=dict)
    key_variable: str | None = None
    ready: bool = False

    @property
    def host(self) -> str:
        """The address without its port."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port alone."""
        return urlsplit(self.url).port or 0

    def __str__(self) -> str:
        """The model and where it is."""
        return f"{self.model} at {self.url}"


def folder() -> Path:
    """Where the files are."""
    return cache_folder() / "servers"


def _file(pid: int | str) -> Path:
    """The file of a process, whose number means something on this machine or in this container alone; the folder may be seen by several."""
    space = re.sub(r"[^A-Za-z0-9]+", "-", process_space()).strip("-")
    return folder() / f"{space}-{pid}.json"


@contextmanager
def starting() -> Iterator[None]:
    """Holds the right to start a server: of two commands at once the second sees the first one's.

    Raises:
        RunError: The folder cannot be written.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.fdopen(files.opened_to_add(folder() / ".lock"), "ab")
    except OSError as error:
        raise RunError(
            f"The cache folder {folder()} cannot be written ({error.strerror}); set LLMBENCH_CACHE to another."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the process ends, however it ends
        yield


def new_log() -> Path:
    """A new file for this process's server to log to; the oldest of many are removed."""
    used = {server.log for server in running()}
    old = sorted(folder().glob("*.log"), key=lambda path: path.stat().st_mtime)[: -LOGS + 1]
    for path in old:
        if str(path) not in used:
            path.unlink(missing_ok=True)
    path = _file(os.getpid()).with_suffix(".log")
    path.write_bytes(b"")
    return path


def write(server: LocalServer) -> None:
    """Writes down a server of this process."""
    files.replace(_file(server.pid), [orjson.dumps(decoding.plain(server))])


def remove(pid: int) -> None:
    """Removes what was written down of a process's server."""
    with suppress(OSError):
        _file(pid).unlink(missing_ok=True)


def running() -> list[LocalServer]:
    """The servers of this machine, those that are still loading too; the files of dead ones are removed."""
    found = []
    for path in sorted(folder().glob(_file("*").name)):
        try:
            server = decoding.decode(files.read(path, files.JSON_BYTES), LocalServer)
        except (OSError, TypeError, ValueError):  # of another version, or just being removed
            continue
        if started(server.pid) == server.started:
            found.append(server)
        else:
            path.unlink(missing_ok=True)
    return found


def with_address(engine: EngineConfig, model: ModelConfig | None = None) -> EngineConfig:
    """Returns the settings with an address: where none is typed, that of a server that runs on this machine.

    Args:
        engine: The settings.
        model: Chooses among several servers, where `engine.served_model` does not.

    Raises:
        ConfigError: None runs, or several do.
    """
    if engine.base_url is not None:
        return engine
    servers = running()
    ready = [server for server in servers if server.ready]
    if not ready and servers:
        raise ConfigError(
            f"engine=endpoint has no address, and a server is still loading: {_named(servers)}; wait until it is ready."
        )
    if not ready:
        raise ConfigError(
            "engine=endpoint needs an address, and no server of llmbench.serve runs here; start one with "
            "`python -m llmbench.serve model=NAME`, or set engine.base_url=http://HOST:PORT/v1."
        )
    fitting = [server for server in ready if _serves(server, engine.served_model, model)]
    chosen = ready if len(ready) == 1 else fitting  # whether the only one serves the model is checked later
    if len(chosen) != 1:
        raise ConfigError(
            f"engine=endpoint has no address, and {len(fitting) or 'none'} of the servers that run here "
            f"{'serves' if not fitting else 'serve'} the model: {_named(ready)}; choose one with engine.base_url={ready[0].url}."
        )
    return replace(engine, base_url=chosen[0].url)


def _serves(server: LocalServer, name: str | None, model: ModelConfig | None) -> bool:
    if name is not None:
        return server.model == name
    return model is None or same_model(model, Server(Address(server.url), server.model, server.root))


def _named(servers: list[LocalServer]) -> str:
    return ", ".join(map(str, servers))
