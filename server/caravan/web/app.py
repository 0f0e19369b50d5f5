"""The ASGI application: routes, services, and one place that turns failures into answers."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.conversations import ConversationService
from caravan.api.decisions.rank import RankService
from caravan.api.decisions.service import DecisionService
from caravan.api.embeddings import EmbeddingService
from caravan.api.explain.service import ExplainService
from caravan.api.llama_cpp.service import LlamaCppService
from caravan.api.messages.service import MessagesService
from caravan.api.ollama.service import OllamaService
from caravan.api.params import presets
from caravan.api.params.decoding_plan import DecodingPlanner, RequestLimits
from caravan.api.responses.service import ResponseService
from caravan.api.status import StatusService
from caravan.api.store import AsyncStore, Limits, check_place
from caravan.api.stored_chats import StoredChatService
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.tokenize import TokenService
from caravan.api.usage import UsageBook
from caravan.auth.key_store import open_key_store
from caravan.auth.rate_limit import Quotas
from caravan.config.settings import Settings
from caravan.models import ModelRegistry
from caravan.observability.metrics import EngineReading, Metrics
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
from caravan.web.request_body import BodyReader
from caravan.web.routes import (
    admin,
    chat,
    completions,
    conversations,
    decisions,
    docs,
    embeddings,
    explain,
    llama_cpp,
    messages,
    models,
    ollama,
    ops,
    rank,
    responses,
    tokenize,
)

_ROUTERS = tuple(
    part.router
    for part in (
        # Before the routes of stored chats, one of whose ids could be its name.
        llama_cpp,
        chat,
        completions,
        responses,
        conversations,
        messages,
        decisions,
        rank,
        explain,
        embeddings,
        tokenize,
        models,
        ollama,
        admin,
        ops,
    )
)


def create_app(settings: Settings, registry: ModelRegistry, tracing: Tracing | None = None) -> FastAPI:
    """The application over `registry`, which it closes when it ends; starting the models is the caller's.

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
    decoding = _decoding(settings, registry)
    constraints = ConstraintCompiler()
    archive = _archive(settings)
    chat_service = ChatService(registry, decoding, constraints)
    completion_service = CompletionService(registry, decoding, constraints)
    embedding_service = EmbeddingService(registry)
    tokens = TokenService(registry)
    metrics = Metrics(lambda: _readings(registry))
    of_page = [page.router] if settings.page else []
    routes = all_routes(app, [*_ROUTERS, docs.router, *of_page])
    usage = UsageBook(settings.usage_path)
    _add_middleware(app, settings, metrics, tracing, usage, routes)
    app.state.services = Services(
        registry=registry,
        metrics=metrics,
        status=StatusService(registry),
        usage=usage,
        decoding=decoding,
        chat=chat_service,
        chats=StoredChatService(archive),
        completions=completion_service,
        decisions=DecisionService(registry),
        rank=RankService(registry),
        embeddings=embedding_service,
        explanations=ExplainService(registry, decoding, chat_service, completion_service),
        responses=ResponseService(registry, chat_service, tokens, archive),
        conversations=ConversationService(archive),
        ollama=OllamaService(registry, decoding, chat_service, completion_service, embedding_service),
        llama_cpp=LlamaCppService(registry, decoding, completion_service, embedding_service),
        messages=MessagesService(registry, chat_service, tokens),
        tokens=tokens,
        bodies=BodyReader(settings, registry),
        has_page=settings.page,
        strict_fields=settings.strict_fields,
        keep_alive_seconds=settings.sse_ping_seconds,
    )
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
    metrics: Metrics,
    tracing: Tracing | None,
    usage: UsageBook,
    routes: Sequence[BaseRoute],
) -> None:
    keys = open_key_store(settings)
    hosts = AllowedHosts(settings.host, settings.allowed_hosts)
    app.add_middleware(
        AuthMiddleware,
        keys=keys,
        quotas=Quotas(),
        usage=usage,
        sites=SiteRules(settings.cors_origins, hosts, keys.is_open),
        share_prefixes=settings.share_prefixes,
        max_priority=settings.max_priority,
        cors_origins=settings.cors_origins,
        is_public=_is_public(settings),
    )
    app.add_middleware(AccessLogMiddleware, metrics=metrics, tracing=tracing, routes=routes)


def _is_public(settings: Settings) -> Callable[[str], bool]:
    """Which paths need no key: those of the viewer of the API and, where it is served, of the page."""
    if not settings.page:
        return docs.is_public
    return lambda path: docs.is_public(path) or page.is_public(path)


def _decoding(settings: Settings, registry: ModelRegistry) -> DecodingPlanner:
    decoding = DecodingPlanner(
        limits=RequestLimits(max_choices=settings.max_choices, max_prompts=settings.max_prompts),
        presets=presets.load(settings.presets),
        operator=presets.operator_defaults(settings.defaults),
    )
    for spec in registry.specs:
        presets.operator_defaults(spec.operator_defaults, f"defaults of the model '{spec.id}'")
    registry.add_check(decoding.check)
    return decoding


def _archive(settings: Settings) -> AsyncStore:
    path = settings.responses_path
    # Where nobody asked for responses to be kept, those who do not need that are served.
    if settings.responses_db is not None and path is not None:
        check_place(path)
    return AsyncStore(
        path, Limits(max_seconds=settings.responses_days * 86400, max_bytes=settings.responses_bytes)
    )


def _readings(registry: ModelRegistry) -> list[EngineReading]:
    models = [model for spec in registry.specs if (model := registry.loaded(spec.id))]
    return [
        EngineReading(
            model=model.id,
            stats=model.engine.stats(),
            num_restarts=model.engine.num_restarts,
            pid=model.engine.pid,
        )
        for model in models
    ]


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await app.state.services.responses.aclose()
        await app.state.services.usage.aclose()
        await app.state.services.registry.close()
