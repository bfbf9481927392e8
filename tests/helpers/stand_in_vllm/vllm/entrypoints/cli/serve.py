"""`vllm serve` without a model: a process of its own as the engine's core, then answers at /health and /v1/models.

`SERVE_TROUBLE` in the environment has it misbehave: `refuses` as vLLM's parser does, `core_fails` as its engine does, `silent` never answers,
`stubborn` ignores SIGTERM, `dies` ends once it has answered.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from argparse import Namespace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path

CORE_FAILS = """(EngineCore pid=7) ERROR [core.py:1]   File "model.py", line 3, in load_model
(EngineCore pid=7) ERROR [core.py:1] ValueError: the weights are of another shape.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def core() -> None:
    """Hears nothing, as an engine that computes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)


def end(engine: BaseProcess) -> None:
    """Ends as vLLM does, its engine first."""
    engine.kill()
    sys.exit(0)


class ServeSubcommand:
    """Stands for vLLM's."""

    def subparser_init(self, _: object) -> None:
        """Adds nothing: the stand-in's parser keeps the words."""

    def validate(self, _: object) -> None:
        """Refuses nothing."""

    def cmd(self, parsed: Namespace) -> None:
        """Serves."""
        serve(parsed.words)


def serve(words: list[str]) -> None:
    """Serves what the command line names."""
    trouble = os.environ.get("SERVE_TROUBLE", "")
    command, root, *flags = words
    assert command == "serve"
    if trouble == "refuses":
        sys.exit("vllm serve: error: unrecognized arguments: --no-such-thing")
    named = dict(flag.removeprefix("--").split("=", 1) for flag in flags if "=" in flag)
    if "SERVE_ARGUMENTS" in os.environ:
        Path(os.environ["SERVE_ARGUMENTS"]).write_text(json.dumps(words))
    if trouble == "core_fails":
        sys.stderr.write(CORE_FAILS)
        sys.exit(1)
    engine = multiprocessing.get_context("spawn").Process(target=core)
    engine.start()
    if trouble == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: end(engine))
    while trouble == "silent":
        time.sleep(1)
    row = {
        "id": named["served-model-name"],
        "object": "model",
        "root": root,
        "owned_by": "vllm",
        "max_model_len": int(named["max-model-len"]),
    }
    answers = {
        "/health": "",
        "/v1/models": json.dumps({"object": "list", "data": [row]}),
        "/version": json.dumps({"version": "0.0"}),
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            content = answers[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if trouble == "dies":
                os._exit(9)

    ThreadingHTTPServer((named["host"], int(named["port"])), Handler).serve_forever()
