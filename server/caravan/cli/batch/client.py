"""The server as a batch needs it: a file up, its batch watched, its answers down."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from caravan.cli.chat.client import check
from caravan.cli.errors import CommandError

_PATIENCE = httpx.Timeout(20, read=600, write=600)
_LOOK_SECONDS = 0.25
# A server that does not answer for so long is given up; the batch goes on when it is there again.
_LONGEST_SILENCE = 60.0
_ENDED = ("failed", "completed", "expired", "cancelled")
_UNFINISHED = ("validating", "in_progress", "finalizing")


@dataclass(frozen=True)
class BatchClient:
    """Talks to one server. All methods raise CommandError."""

    http: httpx.Client

    def upload(self, path: Path) -> str:
        """Send a file, and return its id."""
        with path.open("rb") as file:
            files = {"file": (path.name, file)}
            return str(self._ask("POST", "files", data={"purpose": "batch"}, files=files)["id"])

    def create(self, file_id: str, endpoint: str) -> str:
        """Begin a batch, and return its id."""
        body = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h"}
        return str(self._ask("POST", "batches", json=body)["id"])

    def unfinished(self) -> str | None:
        """Find the batch that is not finished; None where there is none."""
        for batch in self._ask("GET", "batches", params={"limit": 100})["data"]:
            if batch["status"] in _UNFINISHED:
                return str(batch["id"])
        return None

    def watch(self, batch_id: str, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Tell how a batch stands until it has ended, and return it."""
        heard = time.monotonic()
        while True:
            try:
                batch = self._ask("GET", f"batches/{batch_id}")
            except CommandError:
                if time.monotonic() - heard > _LONGEST_SILENCE:
                    raise
            else:
                heard = time.monotonic()
                tell(batch)
                if batch["status"] in _ENDED:
                    return batch
            time.sleep(_LOOK_SECONDS)

    def cancel(self, batch_id: str) -> None:
        """Have a batch end."""
        self._ask("POST", f"batches/{batch_id}/cancel")

    def fetch(self, file_id: str, path: Path) -> None:
        """Write the bytes of a file to a path."""
        try:
            with self.http.stream("GET", f"files/{file_id}/content", timeout=_PATIENCE) as response:
                if response.is_error:
                    response.read()
                check(response)
                with path.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
        except httpx.HTTPError as error:
            raise CommandError(f"{self.http.base_url} cannot be reached: {error}") from error

    def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:  # noqa: ANN401 (httpx's)
        try:
            response = self.http.request(method, path, timeout=_PATIENCE, **sent)
            check(response)
            document: dict[str, Any] = response.json()
        except httpx.HTTPError as error:
            raise CommandError(f"{self.http.base_url} cannot be reached: {error}") from error
        except ValueError as error:
            raise CommandError(f"{self.http.base_url} is not a server of the OpenAI kind") from error
        return document
