"""Answers of the routes that orchestration asks."""

from typing import Literal

from caravan_schemas.base import Schema


class Health(Schema):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Schema):
    """Whether the server would take a request now."""

    status: Literal["ready", "unavailable"]


class ServerLoad(Schema):
    """How busy the server is, as vLLM tells it."""

    server_load: int


class ModelStatus(Schema):
    """One model and, while it is loaded, the numbers of its engine.

    `cells` are tokens that the KV cache can hold.
    """

    id: str
    status: str
    context_size: int | None = None
    running: int | None = None
    waiting: int | None = None
    cells: int | None = None
    cells_used: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int | None = None
    restarts: int | None = None
    memory_bytes: int | None = None


class ServerStatus(Schema):
    """The state of the server."""

    version: str
    uptime_seconds: float
    memory_bytes: int
    models: list[ModelStatus]


class KeyUsage(Schema):
    """What a key has used of a model on a day, by the clock of UTC.

    The names are those of OpenAI's usage. `input_cached_tokens` of the `input_tokens` were in the cache
    already, and the others were computed. `key` is the key's name.
    """

    day: str
    api_key_id: str
    key: str
    model: str
    num_model_requests: int
    input_tokens: int
    input_cached_tokens: int
    output_tokens: int


class UsageList(Schema):
    """The oldest day comes first."""

    object: Literal["list"] = "list"
    data: list[KeyUsage]
