"""Answers of the routes that orchestration asks."""

from typing import Literal

from caravan_schemas.base import Schema


class Health(Schema):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Schema):
    """Whether the server would take a request now."""

    status: Literal["ready", "unavailable"]


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
