"""What real clients send, written down: `python -m tests.faults.recording` after `make test-clients`.

The clients of `tests/clients` have their conversations with the resident model through a forwarder that notes
each request. OpenAI's own is always there; the others where they are installed. So the data in the repository
were made.
"""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.clients.programs import MODEL, ROOT
from tests.clients.quick import PROGRAMS
from tests.faults.process import server_process

RECORDED = Path(__file__).parent / "data" / "recorded.jsonl"
_OWN = [sys.executable, "-m", "tests.clients.scripts.openai_python"]


class _Forwarder(ThreadingHTTPServer):
    """Passes requests on to `target` and keeps their bodies, each once."""

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.requests: dict[str, None] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Forwarder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        noted = {"path": self.path, "body": json.loads(body)}
        self.server.requests[json.dumps(noted, ensure_ascii=False)] = None
        self._answer(httpx.post(self.server.target + self.path, content=body, timeout=300))

    def do_GET(self) -> None:
        self._answer(httpx.get(self.server.target + self.path, timeout=300))

    def log_message(self, *_args: object) -> None:
        """Say nothing of each request."""

    def _answer(self, answer: httpx.Response) -> None:
        self.send_response(answer.status_code)
        self.send_header("content-type", answer.headers.get("content-type", "application/json"))
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)


def main() -> None:
    """Record all that can be run here."""
    with server_process() as server, _Forwarder(server.address) as forwarder:
        threading.Thread(target=forwarder.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{forwarder.server_port}/v1"
        commands = [program.command(url, MODEL) for program in PROGRAMS if program.is_installed]
        for command in [[*_OWN, url, MODEL], *commands]:
            subprocess.run(command, cwd=ROOT, check=False)
        forwarder.shutdown()
    RECORDED.parent.mkdir(exist_ok=True)
    RECORDED.write_text("".join(f"{line}\n" for line in forwarder.requests))
    print(f"{len(forwarder.requests)} requests in {RECORDED}")


if __name__ == "__main__":
    main()
