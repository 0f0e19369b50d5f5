"""What is known of files, batches and their lines; frozen values that go to the store's thread and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from caravan_schemas.batches import Endpoint, Status

WINDOW_SECONDS = 24 * 3600
KEPT_SECONDS = 30 * 24 * 3600
UNFINISHED: tuple[Status, ...] = ("validating", "in_progress", "finalizing", "cancelling")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that is kept. Times are seconds since 1970."""

    id: str
    owner: str
    purpose: str
    filename: str
    num_bytes: int
    created_at: int
    expires_at: int

    def document(self) -> bytes:
        """Write it as JSON."""
        return msgspec.json.encode(
            {
                "id": self.id,
                "object": "file",
                "bytes": self.num_bytes,
                "created_at": self.created_at,
                "expires_at": self.expires_at,
                "filename": self.filename,
                "purpose": self.purpose,
                "status": "processed",
                "status_details": None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What lines have taken."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as it stands. `times` are those of its states, `faults` what is wrong with its input."""

    number: int
    id: str
    owner: str
    status: Status
    input_file_id: str
    endpoint: Endpoint
    metadata: Mapping[str, str] | None
    output_seconds: int
    created_at: int
    expires_at: int
    times: Mapping[str, int]
    faults: list[dict[str, Any]] | None
    output_file_id: str | None
    error_file_id: str | None
    model: str | None
    num_total: int
    num_completed: int
    num_failed: int
    tokens: Tokens

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is still to be done."""
        return self.status in UNFINISHED

    def document(self) -> bytes:
        """Write it as JSON."""
        tokens = self.tokens
        usage = {
            "input_tokens": tokens.prompt,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.completion,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.prompt + tokens.completion,
        }
        return msgspec.json.encode(
            {
                "id": self.id,
                "object": "batch",
                "endpoint": self.endpoint,
                "model": self.model,
                "errors": None if self.faults is None else {"object": "list", "data": self.faults},
                "input_file_id": self.input_file_id,
                "completion_window": "24h",
                "status": self.status,
                "output_file_id": self.output_file_id,
                "error_file_id": self.error_file_id,
                "created_at": self.created_at,
                "in_progress_at": self.times.get("in_progress"),
                "expires_at": self.expires_at,
                "finalizing_at": self.times.get("finalizing"),
                "completed_at": self.times.get("completed"),
                "failed_at": self.times.get("failed"),
                "expired_at": self.times.get("expired"),
                "cancelling_at": self.times.get("cancelling"),
                "cancelled_at": self.times.get("cancelled"),
                "request_counts": {
                    "total": self.num_total,
                    "completed": self.num_completed,
                    "failed": self.num_failed,
                },
                "usage": usage,
                "metadata": self.metadata,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Line:
    """A request of an input file: where it stands there, and where its turn is; alike ones come together."""

    position: int
    custom_id: str
    start: int
    length: int
    turn: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a line of the output is, and whether it belongs to the file of errors."""

    text: bytes
    is_error: bool
    tokens: Tokens = Tokens()
