"""Liveness and readiness, for those who run the server."""

from http import HTTPStatus

from fastapi import APIRouter, Response

from schemas.ops import Health, Readiness
from server.routes.deps import UseServices

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health() -> Health:
    """Whether the process answers at all."""
    return Health()


@router.get("/ready", responses={HTTPStatus.SERVICE_UNAVAILABLE: {"model": Readiness}})
async def ready(response: Response, services: UseServices) -> Readiness:
    """Whether requests for text would be taken now; 503 during the start and while an engine restarts."""
    if services.registry.is_ready:
        return Readiness(status="ready")
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Readiness(status="unavailable")
