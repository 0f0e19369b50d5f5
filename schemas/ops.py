"""Answers of the routes that orchestration asks."""

from typing import Literal

from schemas.base import Schema


class Health(Schema):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Schema):
    """Whether requests for text would be taken now."""

    status: Literal["ready", "unavailable"]
