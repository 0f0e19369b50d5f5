"""What routes are given, typed, so that nothing reads an untyped `app.state`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from server.metrics import Metrics
from server.registry import ModelRegistry
from server.service.chat import ChatService
from server.service.completions import CompletionService
from server.service.sampling import Decoding


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of one app, and the settings that routes themselves need."""

    registry: ModelRegistry
    metrics: Metrics
    decoding: Decoding
    chat: ChatService
    completions: CompletionService
    max_body_bytes: int
    allow_unknown_fields: bool
    keep_alive_seconds: float
    shutdown_seconds: float


def get_services(request: Request) -> Services:
    """The services of the app that serves this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


UseServices = Annotated[Services, Depends(get_services)]
