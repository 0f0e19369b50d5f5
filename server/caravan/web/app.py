"""The ASGI application: routes, middleware, and one place that turns failures into answers."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

from caravan.api.store import AsyncStore
from caravan.auth.holders import Holders
from caravan.auth.key_store import open_key_store
from caravan.auth.ledger import Ledger, LocalLedger
from caravan.config.settings import Settings
from caravan.models import ModelRegistry
from caravan.observability.tracing import Tracing
from caravan.version import version
from caravan.web import error_response
from caravan.web.callers import AllowedHosts, SiteRules
from caravan.web.dependencies import Services
from caravan.web.middleware.access_log import AccessLogMiddleware
from caravan.web.middleware.auth import AuthMiddleware
from caravan.web.not_found_hints import all_routes
from caravan.web.openapi import ERRORS, describe_bodies
from caravan.web.page import routes as page
from caravan.web.routes import (
    admin,
    batches,
    chat,
    completions,
    conversations,
    decisions,
    docs,
    embeddings,
    explain,
    files,
    llama_cpp,
    messages,
    models,
    ollama,
    ops,
    rank,
    responses,
    tokenize,
    transcriptions,
)
from caravan.web.services import make_services

_ROUTERS = tuple(
    part.router
    for part in (
        # Before the routes of stored chats, one of whose ids could be its name.
        llama_cpp,
        chat,
        completions,
        responses,
        conversations,
        files,
        batches,
        messages,
        decisions,
        rank,
        explain,
        embeddings,
        tokenize,
        transcriptions,
        models,
        ollama,
        admin,
        ops,
    )
)


def create_app(
    settings: Settings,
    registry: ModelRegistry,
    tracing: Tracing | None = None,
    *,
    ledger: Ledger | None = None,
    archive: AsyncStore | None = None,
    has_batches: bool = True,
) -> FastAPI:
    """The application over `registry`, which it closes when it ends; starting the models is the caller's.
    `ledger` and `archive` are those of others where several applications share them; without `has_batches`,
    files and batches are refused.

    Raises KeyFileError over the file of keys, PresetError when the operator's presets or defaults are no
    such, and PlaceError over a file of responses that was named. Each model must be able to use presets and
    defaults, or its load fails.
    """
    app = FastAPI(
        title="Caravan",
        summary="An OpenAI-compatible inference server",
        version=version(),
        lifespan=_lifespan,
        redirect_slashes=False,
        # The routes of `docs` have it.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    holders = Holders(
        keys=open_key_store(settings), ledger=ledger or LocalLedger(), share_prefixes=settings.share_prefixes
    )
    services = app.state.services = make_services(
        settings, registry, holders, archive, has_batches=has_batches
    )
    of_page = [page.router] if settings.page else []
    routes = all_routes(app, [*_ROUTERS, docs.router, *of_page])
    _add_middleware(app, settings, services, holders, tracing, routes)
    for router in _ROUTERS:
        app.include_router(router, responses=ERRORS)
    for router in (docs.router, *of_page):
        app.include_router(router)
    error_response.install(app, routes)
    describe_bodies(app, strict=settings.strict_fields)
    return app


def _add_middleware(
    app: FastAPI,
    settings: Settings,
    services: Services,
    holders: Holders,
    tracing: Tracing | None,
    routes: Sequence[BaseRoute],
) -> None:
    hosts = AllowedHosts(settings.host, settings.allowed_hosts)
    app.add_middleware(
        AuthMiddleware,
        holders=holders,
        usage=services.usage,
        sites=SiteRules(settings.cors_origins, hosts, holders.keys.is_open),
        max_priority=settings.max_priority,
        cors_origins=settings.cors_origins,
        is_public=_is_public(settings),
    )
    app.add_middleware(AccessLogMiddleware, metrics=services.metrics, tracing=tracing, routes=routes)


def _is_public(settings: Settings) -> Callable[[str], bool]:
    """Which paths need no key: those of the viewer of the API and, where it is served, of the page."""
    if not settings.page:
        return docs.is_public
    return lambda path: docs.is_public(path) or page.is_public(path)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await app.state.services.batches.aclose()
        await app.state.services.responses.aclose()
        await app.state.services.usage.aclose()
        await app.state.services.registry.close()
