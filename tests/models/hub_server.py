"""A hub of one repository on this machine, as far as the hub's own client asks."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

NAME, COMMIT = "somebody/served", "a" * 40


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder's files; yield the address, and the files that were downloaded so far."""
    files = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}
    kind = type("Handler", (_Handler,), {"files": files, "downloaded": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", kind.downloaded
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, Path]]
    downloaded: ClassVar[list[str]]

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        asked = re.fullmatch(rf"/{NAME}/resolve/{COMMIT}/(.+)", path)
        if path.startswith(f"/api/models/{NAME}/tree/"):
            listed = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": _etag(file)}
                for name, file in self.files.items()
            ]
            self._send(json.dumps(listed).encode())
        elif path.startswith(f"/api/models/{NAME}"):
            self._send(json.dumps({"id": NAME, "sha": COMMIT, "siblings": []}).encode())
        elif asked and asked[1] in self.files:
            if self.command == "GET":
                self.downloaded.append(asked[1])
            file = self.files[asked[1]]
            self._send(file.read_bytes(), {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

    def _send(
        self, content: bytes, headers: dict[str, str] | None = None, *, status: int = 200
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
