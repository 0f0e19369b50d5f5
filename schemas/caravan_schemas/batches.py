"""Batches of requests, as OpenAI has them."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.files import ExpiresAfter
from caravan_schemas.metadata import Metadata

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]


class BatchRequest(Schema):
    """Body of `POST /v1/batches`."""

    input_file_id: str = Field(
        description="A file of the purpose `batch`, in which each line is a JSON object: `custom_id`, "
        '`method` ("POST"), `url` (the `endpoint`) and `body` (the request).'
    )
    endpoint: Endpoint = Field(description="The route that all lines are for.")
    completion_window: Literal["24h"] = Field(
        description="The time for the whole batch. What is not answered by then is told to have expired."
    )
    metadata: Metadata = Field(
        default=None, description="Up to 16 texts of the caller's own, by their names, given back with it."
    )
    output_expires_after: ExpiresAfter | None = Field(
        default=None, description="When the files of answers are deleted. After 30 days by default."
    )


class BatchFault(Schema):
    """What is wrong with a line of the input file."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchFaults(Schema):
    """All that is wrong with the input file, at most 100 lines of it."""

    object: Literal["list"]
    data: list[BatchFault]


class RequestCounts(Schema):
    """How many lines there are, and what has become of them."""

    total: int
    completed: int
    failed: int


class BatchInputDetails(Schema):
    """What the tokens of prompts were."""

    cached_tokens: int


class BatchOutputDetails(Schema):
    """What the generated tokens were."""

    reasoning_tokens: int


class BatchUsage(Schema):
    """The tokens of all lines so far."""

    input_tokens: int
    input_tokens_details: BatchInputDetails
    output_tokens: int
    output_tokens_details: BatchOutputDetails
    total_tokens: int


class Batch(Schema):
    """A batch as it stands. Times that have not come are null."""

    id: str
    object: Literal["batch"]
    endpoint: Endpoint
    model: str | None
    errors: BatchFaults | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None
