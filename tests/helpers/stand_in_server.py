"""A server on loopback that speaks OpenAI's API as vLLM does, answers as a test says, and misbehaves on demand."""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from llmbench.engine.endpoint import server as servers

Body = dict[str, Any]
Fault = str | tuple[int, str]
UNKNOWN_TO_OPENAI = {
    "top_k", "min_p", "repetition_penalty", "ignore_eos", "chat_template_kwargs", "return_token_ids",
    "include_stop_str_in_output", "continue_final_message", "add_generation_prompt", "skip_special_tokens",
}  # fmt: skip
BROKEN = {"wrong_json": "{wrong", "wrong_shape": '{"choices": [{"delta": {"content": 7}}]}'}


def last_message(body: Body) -> str:
    """What the last turn of a chat says."""
    return str(body["messages"][-1]["content"])


@dataclass(slots=True)
class StandIn:
    """What the server does, and what it was asked.

    Attributes:
        reply: The answer to a request; with a tuple, thinking and answer.
        faults: What is done in place of answering, one for each request that comes: a status with a message, or `drop`, `silence`, `half`,
            `half_silence`, `wrong_json`, `wrong_shape`, `error_inside`, `no_usage`, `quota`, or an answer of another shape:
            `whole_line` and `whole_indented` (one JSON, not streamed), `no_choices` (with the usage), `parts` (of text), `no_reason` (for its end).
        fault: The same for a request by what it asks.
        vllm: It takes what vLLM takes; otherwise it refuses what OpenAI's API does not know.
        root: What it says the model was loaded from; None: the model's name.
        word_s: Seconds for each word of an answer.
        tokens: The token ids of a word, which vLLM gives where they are asked for.
        key: What must be sent to log in. `usage`: what it says of tokens, in place of counting them.
        older: It knows only `max_tokens`, and refuses as FastAPI does.
        metrics: The page of its metrics; None: there is none.
        asked_metrics: How often that was asked for.
        looks: How often it was asked what it serves; the next `failing_looks` of them fail.
        asked: The bodies of requests, refused ones too; `headers`: theirs.
    """

    reply: Callable[[Body], str | tuple[str, str]] = lambda _: "It is 4."
    faults: deque[Fault] = field(default_factory=deque)
    fault: Callable[[Body], Fault | None] = lambda _: None
    vllm: bool = True
    models: tuple[str, ...] = ("org/tiny",)
    max_length: int | None = 2048
    root: str | None = None
    version: str = "0.27.1"
    reasoning_field: str = "reasoning"
    word_s: float = 0.0
    tokens: Callable[[str], Sequence[int]] = lambda _: (0,)
    key: str | None = None
    usage: Body | None = None
    retry_after: str = "0"
    reason: str = "stop"
    older: bool = False
    metrics: str | None = None
    metrics_status: int = 200
    url: str = ""
    asked: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked_metrics: int = 0
    looks: int = 0
    failing_looks: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def rows(self) -> list[Body]:
        """What it lists as models."""
        of_vllm = {"owned_by": "vllm", "max_model_len": self.max_length}
        own = of_vllm if self.vllm else {"owned_by": "org"}
        return [
            {"id": name, "object": "model", "created": 0, "root": self.root or name, **own}
            for name in self.models
        ]


@contextmanager
def serving(stand_in: StandIn | None = None, port: int = 0) -> Iterator[StandIn]:
    """Serves as long as the context lasts."""
    own = stand_in or StandIn()

    class Handler(_Handler):
        told = own

    with _Server(("127.0.0.1", port), Handler) as server:
        own.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield own
        finally:
            server.shutdown()
            thread.join()
            servers._looked.clear()  # another one may get this port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # connections that come at once; the library's 5 would turn some away


class _Handler(BaseHTTPRequestHandler):
    told: StandIn
    protocol_version = "HTTP/1.1"
    counted = False
    """Whether its request is one of those in flight."""

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        if self.told.key is not None and self.headers["Authorization"] != f"Bearer {self.told.key}":
            self._json(401, {"error": {"message": "Incorrect API key provided"}})
        elif self.path == "/v1/models":
            self._models()
        elif self.path == "/version" and self.told.vllm:
            self._json(200, {"version": self.told.version})
        elif self.path == "/metrics":
            self._metrics()
        else:
            self._json(404, {"error": {"message": "Not Found"}})

    def _models(self) -> None:
        with self.told.lock:
            self.told.looks += 1
            fails, self.told.failing_looks = self.told.failing_looks > 0, self.told.failing_looks - 1
        if fails:
            self._json(500, {"error": {"message": "not yet"}})
        else:
            self._json(200, {"object": "list", "data": self.told.rows()})

    def _metrics(self) -> None:
        self.told.asked_metrics += 1
        content = (self.told.metrics or "").encode()
        self.send_response(404 if self.told.metrics is None else self.told.metrics_status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        told, body = self.told, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with told.lock:
            told.asked.append(body)
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.in_flight += 1
            self.counted = True
            told.most_in_flight = max(told.most_in_flight, told.in_flight)
            fault = told.faults.popleft() if told.faults else told.fault(body)
        try:
            self._answer(body, fault)
        except OSError:  # the client has left, or the test's reply says so
            self.close_connection = True
        finally:
            self._answered()

    def _answered(self) -> None:
        """Counts its request no longer; before its last bytes are sent, since the client may then send the next at once."""
        with self.told.lock:
            self.told.in_flight -= self.counted
            self.counted = False

    def _answer(self, body: Body, fault: Fault | None) -> None:
        unknown = [] if self.told.vllm else sorted(UNKNOWN_TO_OPENAI & body.keys())
        if unknown:
            fault = 400, f"Unrecognized request argument supplied: {unknown[0]}"
        if self.told.older and "max_completion_tokens" in body:
            self._json(
                422, {"detail": [{"msg": "Extra inputs are not permitted", "loc": ["max_completion_tokens"]}]}
            )
        elif isinstance(fault, tuple):
            status, message = fault
            self._json(
                status,
                {"error": {"message": message}},
                {"Retry-After": self.told.retry_after} if status == 429 else {},
            )
        elif fault == "drop":
            self.close_connection = True
        elif fault == "silence":
            time.sleep(20.0)  # in a thread that nobody waits for
            self.close_connection = True
        elif fault == "quota":
            self._json(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})
        elif fault in {"whole_line", "whole_indented"}:
            *pieces, end, usage = self._pieces(body)
            text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
            answer: Body = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
            whole = {**end, "choices": [answer], "usage": usage["usage"]}
            self._send(200, (json.dumps(whole, indent=2 if "indented" in fault else None) + "\n").encode())
        else:
            self._stream(body, fault)

    def _json(self, status: int, data: Body, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(data).encode(), headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._answered()
        self.wfile.write(content)

    def _stream(self, body: Body, fault: str | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = list(self._pieces(body))
        if fault == "no_usage":
            pieces = [piece for piece in pieces if "usage" not in piece]
        pieces = [_shaped(piece, fault) for piece in pieces]
        for number, piece in enumerate(pieces):
            if fault == "half_silence" and number == len(pieces) // 2:
                time.sleep(20.0)  # as above
            if fault == "half" and number == len(pieces) // 2:
                self.close_connection = True
                return
            self._chunk(f"data: {BROKEN.get(fault or '', json.dumps(piece))}\n\n")
            if fault == "error_inside":
                self._chunk(f"data: {json.dumps({'error': {'message': 'EngineCore died', 'code': 500}})}\n\n")
            time.sleep(self.told.word_s)
        self._answered()
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        content = text.encode()
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _pieces(self, body: Body) -> Iterator[Body]:
        told, chat = self.told, "messages" in body
        reply = told.reply(body)
        thinking, text = reply if isinstance(reply, tuple) else ("", reply)
        thinking, stop = _cut(thinking, body)
        text, stop = _cut(text, body) if stop is None else ("", stop)
        words = [(word, True) for word in _words(thinking)] + [(word, False) for word in _words(text)]
        limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or 10**6)
        shown = words[:limit]
        reason = told.reason if stop is not None or len(shown) == len(words) else "length"
        for word, thought in shown:
            name = told.reasoning_field if thought else "content"
            choice: Body = {"index": 0, "delta": {name: word}} if chat else {"index": 0, "text": word}
            if told.vllm:
                choice["token_ids"] = list(told.tokens(word))
            yield {"choices": [choice], "system_fingerprint": "fp_1"}
        end: Body = {"index": 0, "finish_reason": reason, **({"delta": {}} if chat else {"text": ""})}
        yield {"choices": [end | ({"stop_reason": stop} if told.vllm else {})]}
        prompt = len(json.dumps(body.get("messages", body.get("prompt"))))
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": len(shown),
            "total_tokens": prompt + len(shown),
        }
        yield {"choices": [], "usage": usage if told.usage is None else told.usage}


def _shaped(piece: Body, fault: str | None) -> Body:
    """A piece as some servers send it."""
    if fault == "no_choices" and not piece["choices"]:
        return {**piece, "choices": None}
    choices = [dict(choice) for choice in piece["choices"]]
    for choice in choices:
        if fault == "no_reason":
            choice.pop("finish_reason", None)
        if fault == "parts" and choice["delta"].get("content"):
            choice["delta"] = {"content": [{"type": "text", "text": choice["delta"]["content"]}]}
    return {**piece, "choices": choices}


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _cut(text: str, body: Body) -> tuple[str, str | None]:
    """A text up to the first stop string, which stands at its end where that is asked for."""
    found = min((stop for stop in body.get("stop", ()) if stop in text), key=text.find, default=None)
    if found is None:
        return text, None
    kept = text.split(found, 1)[0]
    return kept + (found if body.get("include_stop_str_in_output") else ""), found
