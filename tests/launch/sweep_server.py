"""A stand-in for the part of W&B's server that `wandb sweep` and `wandb agent` talk to.

It listens on loopback, hands out the trials it is given one after another, and keeps what it is
told. A question that it does not know gets an error, as from a server of another version.
"""

import contextlib
import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

ENTITY, PROJECT, SWEEP = "house", "trimtab", "sweep123"
_PROJECT = {"id": "P", "name": PROJECT, "entity": {"id": "E", "name": ENTITY}}
_STREAM = re.compile(r"/files/[^/]+/[^/]+/([^/]+)/file_stream")


class SweepServer:
    """What W&B knows of one sweep; the methods in capitals answer GraphQL operations.

    Attributes:
        sweep: the sweep file, as `wandb sweep` sent it.
        runs: sweep, config, history, summary and exit code of each run, by its id.
        requests: the target of each request; one that goes through a proxy names its host.
    """

    def __init__(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Hand out `trials`, each the values of one run by parameter."""
        self._waiting = [
            {
                "type": "run",
                "run_id": f"trial{number}",
                "program": "trimtab",
                "args": {name: {"value": value} for name, value in trial.items()},
            }
            for number, trial in enumerate(trials)
        ]
        self.sweep: dict[str, Any] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []

    def Viewer(self, **_: Any) -> Any:
        user = {"id": "U", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": user | {"teams": {"edges": []}}}

    def UpsertSweep(self, *, config: str, **_: Any) -> Any:
        self.sweep = yaml.safe_load(config)
        sweep = {"name": SWEEP, "project": _PROJECT}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def SweepWithRuns(self, **_: Any) -> Any:
        sweep = {"id": "S", "name": SWEEP, "state": "RUNNING", "runs": {"edges": []}}
        return {"project": {"sweep": sweep | {"config": yaml.safe_dump(self.sweep)}}}

    def CreateAgent(self, **_: Any) -> Any:
        return {"createAgent": {"agent": {"id": "A"}}}

    def Heartbeat(self, *, runState: str, **_: Any) -> Any:
        commands: list[Any] = []
        if not json.loads(runState):  # none is running
            commands = [self._waiting.pop(0) if self._waiting else {"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": "A"}, "commands": json.dumps(commands)}}

    def UpsertBucket(
        self, *, name: str, config: str | None = None, sweep: str | None = None, **_: Any
    ) -> Any:
        run = self.runs.setdefault(name, {"history": [], "summary": {}, "exit_code": None})
        if config:
            run["config"] = {key: entry["value"] for key, entry in json.loads(config).items()}
        run["sweep"] = sweep or run.get("sweep")
        bucket = {"id": name, "name": name, "displayName": name, "historyLineCount": 0}
        bucket |= {"sweepName": SWEEP, "project": _PROJECT}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def stream(self, run_id: str, told: Mapping[str, Any]) -> None:
        """Keep lines of a run's history, its latest summary, and how it ended."""
        run, files = self.runs[run_id], told.get("files") or {}
        run["history"] += map(json.loads, files.get("wandb-history.jsonl", {}).get("content", []))
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run["summary"] = json.loads(line)
        if told.get("complete"):
            run["exit_code"] = told["exitcode"]

    def answer(self, target: str, body: bytes) -> tuple[int, Any]:
        """Return status and content of the answer to a request."""
        self.requests.append(target)
        if stream := _STREAM.fullmatch(target):
            self.stream(stream[1], json.loads(body))
            return 200, {}
        if target == "/graphql":
            asked = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            if operation and (known := getattr(self, operation[1], None)):
                return 200, {"data": known(**asked.get("variables", {}))}
        return 400, {"errors": [{"message": "unknown to this server"}]}


@contextlib.contextmanager
def serve(server: SweepServer) -> Iterator[str]:
    """Serve on a free port of loopback for the length of the block; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # clients keep their connections

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that ends closes its connections
                super().handle()

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, content = server.answer(self.path, body)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_CONNECT = reply

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()
