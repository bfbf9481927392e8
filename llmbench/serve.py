"""`python -m llmbench.serve model=NAME`: serves a model with vLLM until Ctrl-C, for `engine=endpoint` to evaluate.

Exit status: 0 ended by Ctrl-C or SIGTERM once it was ready, or served already; 1 failed; 130 or 143 ended while it loaded.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from llmbench.cli.arguments import taken_out, whole_number
from llmbench.cli.compose import compose
from llmbench.cli.resume import from_here
from llmbench.config.dump import as_yaml_data
from llmbench.config.schema import Config
from llmbench.engine import bundled_model, template_file
from llmbench.engine.checkpoint import Checkpoint
from llmbench.engine.endpoint import local_servers
from llmbench.engine.endpoint.local_servers import LocalServer
from llmbench.engine.factory import complete, find_checkpoint
from llmbench.engine.vllm.serve_command import ServeCommand, serve_command, served_name
from llmbench.engine.vllm.server_process import ServerProcess
from llmbench.errors import ConfigError
from llmbench.run.engine_pool import LOADED_WITH
from llmbench.system import redaction
from llmbench.system.commandline import Parser, guarded
from llmbench.system.console import Terminal
from llmbench.system.number_format import listed
from llmbench.system.processes import started
from llmbench.system.shell import for_a_shell
from llmbench.system.signals import as_interrupts

PORT, LAST_PORT = 8000, 65535
HOST = "127.0.0.1"
ANY_HOST = {"0.0.0.0": HOST, "::": "::1"}  # noqa: S104 - what is typed; and where this machine itself asks
KEY_VARIABLE = "VLLM_API_KEY"
"""The environment variable with the key that vLLM's server asks for (vllm/envs.py, since 0.26)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to listen; without a port wherever one is free."""

    host: str = HOST
    port: int | None = None

    @property
    def asked_at(self) -> str:
        """The address that this machine's own programs ask."""
        return ANY_HOST.get(self.host, self.host)

    def url(self, port: int) -> str:
        """The server's address, as `engine.base_url` takes it."""
        host = f"[{self.asked_at}]" if ":" in self.asked_at else self.asked_at
        return f"http://{host}:{port}/v1"


@guarded
def main(arguments: Sequence[str] | None) -> None:
    """Runs the command line."""
    parser = Parser(
        prog="python -m llmbench.serve",
        description="Serves a model with vLLM and the settings of a run, until Ctrl-C; prints the command that evaluates it.",
    )
    parser.add_argument(
        "settings",
        metavar="NAME=VALUE",
        nargs="*",
        help="settings as for a run: model=, engine.*, profile=, batch_size= (requests that may run at once, 256), and port= "
        "(8000, or a free one) and host= (127.0.0.1, this machine alone)",
    )
    chosen = parser.parse_args(arguments)
    serve(chosen.settings)


def serve(typed: Sequence[str]) -> None:
    """Serves a model until Ctrl-C or SIGTERM; returns at once where it is served already.

    Raises:
        ConfigError: The settings cannot be served.
        EngineError: The server cannot start, or it ended.
    """
    place, settings = _place(typed)
    terminal = Terminal()
    with as_interrupts():
        config, checkpoint = _prepared(settings, terminal)
        with local_servers.starting():
            server = _running(config, place) or _written(config, checkpoint, place)
        command = _evaluation(settings, config, server)
        if server.pid != os.getpid():
            terminal.notice(f"{server} is served already, by process {server.pid}. Evaluate on it with:")
            terminal.say(command)
            return
        if place.host in ANY_HOST and server.key_variable is None:
            terminal.notice(
                f"Whoever reaches this machine can use the server; set the environment variable {KEY_VARIABLE} to ask for a key."
            )
        try:
            start = serve_command(config, checkpoint, place.host, server.port)
            _run(server, start, command, terminal)
        finally:
            local_servers.remove(server.pid)


def _prepared(settings: Sequence[str], terminal: Terminal) -> tuple[Config, Checkpoint]:
    """The composed settings and the checkpoint that they name."""
    if "engine=endpoint" in settings:  # composing would look for a server
        raise ConfigError("engine=endpoint is refused: vLLM serves the model; leave it out.")
    config, notices = complete(compose(settings))
    if config.engine.name != "vllm":
        raise ConfigError(f"engine={config.engine.name} is refused: vLLM serves the model; leave it out.")
    if any(name.replace("-", "_") == "api_key" for name in config.engine.args):
        raise ConfigError(
            f"engine.args.api_key is refused: every user of this machine sees a command line; set the environment variable {KEY_VARIABLE}."
        )
    if config.model.lora is not None:
        raise ConfigError(
            f"model.lora={config.model.lora} is refused: type 'engine.args={{enable_lora: true, lora_modules: [NAME=FOLDER]}}' in its place, "
            "and evaluate with engine.served_model=NAME."
        )
    if config.model.path is None and not bundled_model.ready(config.model.embedded):
        notices.append("Converting the embedded model, once; this takes half a minute …")
    for sentence in notices:
        terminal.notice(sentence)
    checkpoint = find_checkpoint(config)
    if checkpoint is None:
        raise RuntimeError("vLLM needs a checkpoint")
    return config, checkpoint


def _place(typed: Sequence[str]) -> tuple[Place, list[str]]:
    """Where the server is to listen, and the other settings."""
    own, rest = taken_out(typed, ("host", "port"))
    port = whole_number("port", own.get("port"), LAST_PORT)
    host = own.get("host", HOST)
    if not host:
        raise ConfigError(f"host= is empty; type host={HOST}, or leave it out.")
    return Place(host, port), rest


def _settings(config: Config, place: Place) -> dict[str, Any]:
    """What a server is started with, by the names of the settings; secrets are left out."""
    model, engine = as_yaml_data(config)["model"], as_yaml_data(config)["engine"]
    found = {f"model.{name}": model[name] for name in (*LOADED_WITH, "chat_template_kwargs")}
    template = template_file.read(config.model)
    found["model.chat_template"] = template and f"{template.path} (SHA-256 {template.sha256})"
    found |= {f"engine.{name}": value for name, value in engine.items()}
    found |= {"batch_size": config.batch_size, "seed": config.seed, "host": place.host}
    cleaned: dict[str, Any] = redaction.clean(found)
    return cleaned


def _running(config: Config, place: Place) -> LocalServer | None:
    """The server that runs with these settings; None where a new one may be started.

    Raises:
        ConfigError: It is still loading, or one runs with other settings and nobody asked for a second.
    """
    wanted, others = _settings(config, place), local_servers.running()
    for server in others:
        if server.settings == wanted and place.port in (None, server.port):
            if server.ready:
                return server
            raise ConfigError(
                f"{server} is being loaded by process {server.pid} already; wait until it is ready (its log: {server.log})."
            )
    if others and place.port in (None, *(server.port for server in others)):
        other = next((server for server in others if server.port == place.port), others[0])
        raise ConfigError(
            f"{other} is served already, with other settings ({_difference(other.settings, wanted)}); end it first (`kill {other.pid}`), "
            f"or start this one beside it with port={other.port + 1}."
        )
    return None


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    differing = [name for name in ours if theirs.get(name) != ours[name]]
    return listed([f"{name}={theirs.get(name)}" for name in differing[:3]]) or "unknown"


def _free_port(place: Place) -> int:
    for port in (place.port,) if place.port else (PORT, 0):
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                tried.bind((place.host, port))
            except OSError as error:
                reason = error.strerror or str(error)
                continue
            return int(tried.getsockname()[1])
    raise ConfigError(
        f"No server can listen at {place.host}:{place.port or PORT} ({reason}); choose another port= or host=."
    )


def _written(config: Config, checkpoint: Checkpoint, place: Place) -> LocalServer:
    """Writes down the server that is going to be started."""
    pid = os.getpid()
    server = LocalServer(
        url=place.url(_free_port(place)),
        model=served_name(config),
        root=checkpoint.name,
        pid=pid,
        started=started(pid) or "",
        log=str(local_servers.new_log()),
        settings=_settings(config, place),
        key_variable=KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None,
    )
    local_servers.write(server)
    return server


def _run(server: LocalServer, start: ServeCommand, command: str, terminal: Terminal) -> None:
    """Starts the server, announces it when it is ready, and waits for its end."""
    began, ready, loading = time.monotonic(), False, f"Loading {escape(server.model)}"
    terminal.notice(f"Loading {server.model}. {start.plan.announcement()} vLLM's log: {server.log}")
    try:
        with ServerProcess(start, Path(server.log)) as process:
            with terminal.err.status(loading) as status:
                process.wait_until_ready(
                    server.host,
                    server.port,
                    lambda: status.update(f"{loading}, {time.monotonic() - began:.0f} s"),
                )
            local_servers.write(replace(server, ready=True))
            ready = True
            took = time.monotonic() - began
            terminal.notice(f"{server} is ready after {took:.0f} s; Ctrl-C ends it. Evaluate on it with:")
            terminal.say(command)
            process.wait()
    except KeyboardInterrupt:
        if not ready:
            raise
        terminal.notice(f"The server of {server.model} has ended.")


def _evaluation(typed: Sequence[str], config: Config, server: LocalServer) -> str:
    """The command that evaluates on a server, to be pasted: what was typed about model and questions stays."""
    own = ["engine=endpoint"]
    if any(other.pid != server.pid for other in local_servers.running()):
        own.append(f"engine.base_url={server.url}")
    if server.key_variable is not None:
        own.append(f"engine.api_key_env={server.key_variable}")
    of_server = ("engine=", "engine.", "model.chat_template=")
    kept = [word for word in typed if not word.lstrip("+").startswith(of_server)]
    if not any(word.startswith(("model=", "model.path=", "model.hub_id=")) for word in kept):
        kept.insert(0, f"model={config.model.name}")
    if not any(word.startswith(("benchmark=", "suite=")) for word in kept):
        names = ",".join(config.benchmarks)
        kept.append(f"benchmark={names if len(config.benchmarks) == 1 else f'[{names}]'}")
    words = [*own, *map(from_here, kept)]
    return f"python -m llmbench {' '.join(map(for_a_shell, words))}"


if __name__ == "__main__":
    sys.exit(main(None))
