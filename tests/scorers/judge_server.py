"""A stand-in for an OpenAI-compatible server, which answers, or fails, by a script.

It listens on loopback and keeps count: of the requests by what they ask, and of how many there were
at once.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-a-key-that-must-stay-secret"
RIGHT = json.dumps({"reason": "It says so.", "correct": 1})
_QUESTION = re.compile(r"<(?:question|request)>\n(.*?)\n</", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server does with one request.

    Attributes:
        text: the content of a chat completion.
        body: the body itself, where it is none.
        fields: of the choice, beside or in place of what a chat completion has.
        lost: bytes at the body's end that are announced but never sent.
        delay: seconds before the answer.
    """

    text: Any = RIGHT
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    lost: int = 0
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        """The body to send."""
        if self.body is not None:
            return self.body
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": self.text}
        choice |= self.fields
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        completion = {"id": "1", "object": "chat.completion", "created": 0, "usage": usage}
        return json.dumps(completion | {"model": "judge-0613", "choices": [choice]}).encode()


def failure(status: int, message: str = "no luck", **fields: Any) -> Answer:
    """An error as OpenAI's servers send it; `retry_after` goes to the headers."""
    headers = {"Retry-After": fields.pop("retry_after")} if "retry_after" in fields else {}
    body = json.dumps({"error": {"message": message, "type": "x", **fields}}).encode()
    return Answer(status=status, headers=headers, body=body)


class JudgeServer:
    """Answers by `script`, a function of the question and of how often it was asked before.

    Attributes:
        asked: how often each question was asked.
        moments: when, by `time.monotonic`.
        requests: the bodies of all requests.
        paths: where they were sent to.
        most_at_once: the largest number of requests that were under way together.
    """

    def __init__(self, script: Callable[[str, int], Answer] = lambda *_: Answer()) -> None:
        self.script = script
        self.asked: Counter[str] = Counter()
        self.moments: dict[str, list[float]] = defaultdict(list)
        self.requests: list[dict[str, Any]] = []
        self.authorization: set[str | None] = set()
        self.paths: list[str] = []
        self.most_at_once = 0
        self.address = ""
        self._now = 0
        self._lock = threading.Lock()

    def begin(self, request: dict[str, Any], authorization: str | None, path: str) -> Answer:
        """Count a request and look up its answer."""
        found = _QUESTION.search(request["messages"][-1]["content"])
        assert found
        with self._lock:
            before = self.asked[found[1]]
            self.asked[found[1]] += 1
            self.moments[found[1]].append(time.monotonic())
            self.requests.append(request)
            self.authorization.add(authorization)
            self.paths.append(path)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        return self.script(found[1], before)

    def end(self) -> None:
        """A request is over."""
        with self._lock:
            self._now -= 1


@contextlib.contextmanager
def serve(server: JudgeServer) -> Iterator[JudgeServer]:
    """Serve on a free port of loopback for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # clients keep their connections

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client may be killed, or give up
                super().handle()

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = server.begin(request, self.headers["Authorization"], self.path)
            try:
                time.sleep(answer.delay)
            finally:
                server.end()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            content = answer.content
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - answer.lost])
            self.close_connection = bool(answer.lost)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_port}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
