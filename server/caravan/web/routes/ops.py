"""Liveness and readiness, for those who run the server."""

from http import HTTPStatus

from caravan_schemas.ops import Health, Readiness, ServerLoad, ServerStatus
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from caravan.auth.principal import Principal
from caravan.models import ModelRegistry
from caravan.observability.metrics import View
from caravan.web.dependencies import AdminOnly, UseContext, UseServices
from caravan.web.page.routes import page_document, wants_page

router = APIRouter(tags=["operations"])


# Ollama's and older Claude Codes ask the first, newer Claude Codes the second.
@router.get("/api/hello", response_class=PlainTextResponse, include_in_schema=False)
async def hello() -> str:
    """Whether there is a server."""
    return "Caravan is running. /docs lists the routes.\n"


@router.get("/", response_class=PlainTextResponse)
async def root(request: Request, services: UseServices) -> Response:
    """Whether there is a server: some clients ask so, by HEAD, before they begin. Browsers get the page."""
    if services.has_page and wants_page(request.headers):
        return await page_document(request)
    return PlainTextResponse(await hello(), headers={"vary": "accept"})


@router.get("/v1/health", include_in_schema=False)
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


@router.get("/load")
async def load(services: UseServices, context: UseContext) -> ServerLoad:
    """How many choices are running or waiting, of the models that the caller may use; vLLM's route."""
    return ServerLoad(server_load=services.status.load(context.principal))


@router.get("/status", dependencies=[AdminOnly])
async def status(services: UseServices, context: UseContext) -> ServerStatus:
    """How the server, its models and their engines stand, in numbers."""
    return services.status.read(context.principal)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, services: UseServices, context: UseContext) -> Response:
    """All series, in Prometheus' text format or OpenMetrics', whichever is asked for."""
    view = _view(context.principal, services.registry)
    body, content_type = services.metrics.render(request.headers.get("accept", ""), view)
    return Response(body, media_type=content_type)


def _view(who: Principal, registry: ModelRegistry) -> View:
    """What a caller may see: the series of the models that it may use; and those about everybody's requests,
    whose labels have words that clients have chosen, where it is an administrator or there are no keys.
    """
    models = None if who.models is None else frozenset(spec.id for spec in registry.usable(who))
    return View(models=models, of_server=who.is_admin or not who.id)
