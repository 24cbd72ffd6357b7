"""The services of the story: metrics to ask, reports and pages to file, behind one HTTP server on the loopback.

Each is scripted: its requests meet the troubles it was given, one after the other, and then it is well. Every request
that arrives is counted before it is answered, whatever becomes of it.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from types import TracebackType
from typing import Any, Literal, Self

Trouble = Literal["ok", "500", "429", "hang", "late", "garbage", "wrong"]

HANG_S = 5.0  # far beyond the patience of any client here
IDLE_S = 10.0
NO_HEADERS: Mapping[str, str] = {}
WELL: Iterator[Trouble] = repeat("ok")
FIGURES = {"errors": 0.31, "latency": 2.4, "traffic": 1200.0, "saturation": 0.97}


class Services:
    """A context: the server listens inside it, at `site`, and is gone after it.

    `seen` counts the requests of each service, `log` has what came of each in order, `filed` holds the number of
    what was filed under each idempotency key. A service that hangs has done its work and only does not say so; one that
    is late sets `asked`, and answers once `answer` is set.
    """

    def __init__(self, *, retry_after_s: int = 1, **troubles: Iterable[Trouble]) -> None:
        self.seen: Counter[str] = Counter()
        self.log: list[tuple[str, Trouble]] = []
        self.filed: dict[str, int] = {}
        self.retry_after_s = retry_after_s
        self.closing, self.asked, self.answer = threading.Event(), threading.Event(), threading.Event()
        self._troubles = {name: chain(script, WELL) for name, script in troubles.items()}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="services")

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()  # waits for what is being answered
        self._thread.join()

    def receive(self, service: str) -> Trouble:
        """A request has arrived; what is in store for it."""
        with self._lock:
            trouble = next(self._troubles.get(service, WELL))
            self.seen[service] += 1
            self.log.append((service, trouble))
            return trouble

    def file(self, service: str, key: str) -> dict[str, object]:
        """File what came under this key, unless it is filed; the answer is the same."""
        with self._lock:
            number = self.filed.setdefault(key, len(self.filed) + 1)
        return {"place": service, "number": number}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # they are waited for

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has hung up, or died, is no error of the server's."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_S

    def __init__(self, services: Services, *request: Any) -> None:
        self.services = services
        super().__init__(*request)

    def do_GET(self) -> None:
        service, _, signal = self.path.strip("/").partition("/")
        self._serve(service, 200, lambda: {"signal": signal, "value": FIGURES[signal]})

    def do_POST(self) -> None:
        service, key = self.path.strip("/"), self.headers["Idempotency-Key"]
        self._serve(service, 201, lambda: self.services.file(service, key))

    def _serve(self, service: str, good: int, work: Callable[[], object]) -> None:
        trouble = self.services.receive(service)
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        match trouble:
            case "ok":
                self._answer(good, json.dumps(work()))
            case "500":
                self._answer(500, "out of order")
            case "late":
                self.services.asked.set()
                self.services.answer.wait(HANG_S)
                self._answer(good, json.dumps(work()))
            case "429":
                self._answer(429, "not now", {"Retry-After": str(self.services.retry_after_s)})
            case "hang":
                work()
                self.services.closing.wait(HANG_S)
            case "garbage":
                self._answer(200, "<html>Welcome!</html>")
            case "wrong":
                self._answer(200, '{"signal": null}')

    def _answer(self, status: int, body: str, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """The story is told elsewhere."""
