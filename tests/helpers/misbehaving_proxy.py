"""A proxy on loopback that does to the first requests what a test says, and passes all others on."""

import http.client
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import SplitResult, urlsplit

FAULTS = ("429", "500", "half", "no_usage", "wrong_json", "silence")
SILENCE_S = 10.0


@contextmanager
def misbehaving(upstream: str, faults: deque[str]) -> Iterator[str]:
    """Its address, as long as the context lasts.

    Args:
        upstream: The server's address, as `engine.base_url` takes it.
        faults: One of FAULTS for each question that comes; what was done is taken out.
    """

    class Handler(_Handler):
        place = urlsplit(upstream)
        left = faults

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    place: SplitResult
    left: deque[str]

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._pass_on("GET", b"", "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.left.popleft() if self.left else ""
        if fault in {"429", "500"}:
            headers = {"Retry-After": "1"} if fault == "429" else {}
            self._answer(int(fault), b'{"error": {"message": "not now"}}', headers)
        elif fault == "wrong_json":
            self._answer(200, b'data: {"choices": [{"delta"\n\n', {"Content-Type": "text/event-stream"})
        else:
            time.sleep(SILENCE_S if fault == "silence" else 0.0)
            self._pass_on("POST", body, fault)

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()  # the connection's end is the answer's
        self.wfile.write(content)

    def _pass_on(self, method: str, body: bytes, fault: str) -> None:
        connection = http.client.HTTPConnection(self.place.hostname or "", self.place.port)
        headers = {"Content-Type": "application/json"} if body else {}
        with suppress(OSError):
            connection.request(method, self.path, body, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", ""))
            self.end_headers()
            for number, line in enumerate(answer):
                if fault == "half" and number > 2:
                    break
                if fault != "no_usage" or b'"usage":{' not in line:
                    self.wfile.write(line)
                    self.wfile.flush()
        connection.close()
