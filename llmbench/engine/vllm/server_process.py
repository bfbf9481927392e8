"""A process that runs `vllm serve`: started, waited for until it answers, and ended with all that it has started."""

import http.client
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from llmbench.engine.vllm.errors import known_cause, log_end
from llmbench.engine.vllm.internals import messages
from llmbench.engine.vllm.internals.process_state import SOCKET_FOLDER
from llmbench.engine.vllm.package import socket_folder
from llmbench.engine.vllm.processes import close
from llmbench.engine.vllm.serve_command import ServeCommand
from llmbench.errors import EngineError, shortened
from llmbench.system.processes import VARIABLE, kill

log = logging.getLogger(__name__)

LOOK_S = 0.2
ANSWER_S = 5.0
"""How long the server may take to say that it is well."""
STOP_S = 15.0
"""How long it may take to end in order."""
ERROR_LINE = re.compile(r"(?:^|[ )\]])((?:[\w.]*(?:Error|Exception)|[\w ]*: error): .+)$")
"""A line of a log that says why a Python program ended, or what argparse refused."""


class ServerProcess:
    """A server as long as the context lasts; its output goes to a file."""

    def __init__(self, command: ServeCommand, log_file: Path) -> None:
        """Starts nothing yet."""
        self._command, self._log = command, log_file
        self._process: subprocess.Popen[bytes]
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Starts it, out of Ctrl-C's reach: this process ends it."""
        variables = os.environ | self._command.variables | {VARIABLE: str(os.getpid())}
        if SOCKET_FOLDER not in os.environ:
            variables[SOCKET_FOLDER] = self._resources.enter_context(socket_folder())
        program = [sys.executable, "-m", "llmbench.engine.vllm.internals.serve", *self._command.arguments]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                program,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    def wait_until_ready(self, host: str, port: int, tick: Callable[[], None]) -> None:
        """Waits until the server answers; `tick` is called meanwhile.

        Raises:
            EngineError: It ended.
        """
        while not _answers(host, port):
            self._check()
            tick()
            time.sleep(LOOK_S)
        self._check()  # another program may have taken the port and answered

    def wait(self) -> None:
        """Waits as long as it runs.

        Raises:
            EngineError: It ended.
        """
        self._process.wait()
        self._check()

    def _check(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise EngineError(f"{self._reason(status)}; its log is {self._log}.")

    def _reason(self, status: int) -> str:
        """Why it ended, by its log."""
        text = log_end(self._log)
        cause = known_cause(text, self._command.config)
        if cause is not None:
            return f"vllm serve ended: {cause.rstrip('.')}"
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        return f"vllm serve ended ({how}): {_last_words(text)}"

    def __exit__(self, *_: object) -> None:
        """Ends it and all that it has started; what does not end in order is killed."""
        process = self._process
        members: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            members = psutil.Process(process.pid).children(recursive=True)
        try:
            if process.poll() is None:
                close(partial(_end, process), members, STOP_S)
        finally:  # also where a second signal came
            process.kill()
            kill(members)
            process.wait()
            self._resources.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait()


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)  # no proxy of the environment's
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _last_words(text: str) -> str:
    """The last error in a log that says more than that vLLM's core failed, else the log's last lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [match[1] for match in map(ERROR_LINE.search, lines) if match]
    telling = [line for line in found if not re.search(messages.CORE_FAILED, line)]
    return shortened((telling or found or [" ".join(lines[-3:]) or "it wrote nothing"])[-1].rstrip("."))
