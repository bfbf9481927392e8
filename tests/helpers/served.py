"""`python -m llmbench.serve` in a process of its own, with a stand-in for vLLM."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmbench.engine.endpoint import local_servers
from llmbench.engine.endpoint.local_servers import LocalServer
from llmbench.system.processes import started
from tests.helpers.commands import ENVIRONMENT, LIMIT_S
from tests.helpers.families import all_end, descendants
from tests.helpers.paths import ROOT

STAND_IN = ROOT / "tests" / "helpers" / "stand_in_vllm"
PATH = f"{STAND_IN}{os.pathsep}{ROOT}"
"""PYTHONPATH with which `import vllm` gives the stand-in."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The command as it runs; what it says goes to `errors`."""

    process: subprocess.Popen[str]
    errors: Path

    def command(self) -> str:
        """Waits until the server is ready; the command that evaluates on it, empty where the program ended before."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal, and sees all that the program has started end with it; its exit status."""
        family = descendants(self.process)
        assert family
        self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        all_end(family)
        return status

    def said(self) -> str:
        """All that it said on stderr."""
        return self.errors.read_text()


@contextmanager
def serve(folder: Path, *settings: str, trouble: str = "", path: str = PATH) -> Iterator[Serving]:
    """Starts it in a folder; it ends with the context."""
    errors = folder / "serve.txt"
    with errors.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "llmbench.serve", *settings],
            cwd=folder,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": path, "SERVE_TROUBLE": trouble},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    with process:
        try:
            yield Serving(process, errors)
        finally:
            process.kill()


def written(pid: int, model: str = "org/tiny", port: int = 8000, **values: object) -> LocalServer:
    """A server as a process of this number would have written it down."""
    fields = {
        "started": started(pid) or "",
        "log": "/no/log",
        "ready": True,
        **values,
    }
    server = LocalServer(f"http://127.0.0.1:{port}/v1", model, model, pid, **fields)  # type: ignore[arg-type]
    with local_servers.starting():
        local_servers.write(server)
    return server
