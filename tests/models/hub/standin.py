"""A small Hugging Face hub on 127.0.0.1: models by name, files with ranges, checksums, gates and faults."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from tests.waiting import PATIENCE

COMMIT = "c0ffee" * 6 + "c0ff"


class Hub:
    """What it has and what it was asked. `endpoint` is what HF_ENDPOINT should be."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.checksums: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.gated: set[str] = set()
        # Files that break off after so many bytes of an answer, and how many answers do.
        self.break_after: dict[str, int] = {}
        self.breaks = 0
        # Files whose answers stop after `break_after` and go on only when this is set.
        self.stalled: set[str] = set()
        self.released = threading.Event()
        self.ranges: list[str | None] = []
        self.tokens: set[str | None] = set()

    def sha256(self, name: str, content: bytes) -> str:
        """What the hub says of a file, right or wrong."""
        return self.checksums.get(name, hashlib.sha256(content).hexdigest())


@contextlib.contextmanager
def running_hub() -> Generator[Hub, None, None]:
    """A hub while the block runs."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.hub = hub = Hub(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.released.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Silence."""

    def _answer(self) -> None:
        self.hub.tokens.add(self.headers.get("authorization"))
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["api", "models", org, name, *_]:
                self._describe(f"{org}/{name}")
            case [org, name, "resolve", _, *path]:
                self._resolve(f"{org}/{name}", "/".join(path))
            case _:
                self._refuse(404, "EntryNotFound")

    def _describe(self, repository: str) -> None:
        files = self.hub.repositories.get(repository)
        if files is None:
            self._refuse(401, "RepoNotFound")
            return
        siblings = [
            {
                "rfilename": name,
                "size": self.hub.sizes.get(name, len(content)),
                "blobId": "0",
                "lfs": {"sha256": self.hub.sha256(name, content), "size": len(content), "pointerSize": 1},
            }
            for name, content in files.items()
        ]
        body = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
        self._send(200, json.dumps(body).encode(), {"content-type": "application/json"})

    def _resolve(self, repository: str, name: str) -> None:
        if repository in self.hub.gated:
            self._refuse(401, "GatedRepo")
            return
        content = self.hub.repositories[repository][name]
        wanted = self.headers.get("range")
        self.hub.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        headers = {
            "etag": f'"{self.hub.sha256(name, content)}"',
            "x-repo-commit": COMMIT,
            "accept-ranges": "bytes",
        }
        if wanted:
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if wanted else 200, content[start:], headers, name)

    def _send(self, status: int, content: bytes, headers: dict[str, str], name: str = "") -> None:
        self.send_response(status)
        for key, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        first = self.hub.break_after.get(name, len(content))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content[:first])
            self.wfile.flush()
            if name in self.hub.stalled:
                self.hub.released.wait(PATIENCE)
            elif self.hub.breaks and first < len(content):
                self.hub.breaks -= 1
                self.close_connection = True
                return
            self.wfile.write(content[first:])

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"x-error-code": code, "x-error-message": code})
