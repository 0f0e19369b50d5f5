"""The ASGI application: routes, services, and one place that turns failures into answers."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, get_args

from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionChunk, ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.errors import ErrorResponse
from caravan_schemas.responses import ResponseRequest
from caravan_schemas.responses_events import Event
from caravan_schemas.tokenize import ApplyTemplateRequest, DetokenizeRequest, TokenizeRequest
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.embeddings import EmbeddingService
from caravan.api.params import presets
from caravan.api.params.sampling_params import DecodingPlanner, RequestLimits
from caravan.api.responses import place
from caravan.api.responses.async_store import AsyncResponseStore
from caravan.api.responses.service import ResponseService
from caravan.api.responses.store import Limits
from caravan.api.status import StatusService
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.tokenize import TokenService
from caravan.auth.key_store import open_ring
from caravan.auth.rate_limit import Quotas
from caravan.config.settings import Settings
from caravan.models import ModelRegistry
from caravan.observability.metrics import EngineReading, Metrics
from caravan.observability.tracing import Tracing
from caravan.version import version
from caravan.web import error_response
from caravan.web.body_budget import BodyBudget, BodyMeter
from caravan.web.body_threads import BodyThreads
from caravan.web.dependencies import Bodies, Services
from caravan.web.last_answers import LastAnswers
from caravan.web.middleware.access_log import AccessLogMiddleware
from caravan.web.middleware.allowed_hosts import AllowedHosts
from caravan.web.middleware.auth import OPEN_PATHS, AuthMiddleware
from caravan.web.middleware.cors import CorsMiddleware
from caravan.web.middleware.cross_site import CrossSiteMiddleware
from caravan.web.middleware.head_requests import HeadMiddleware
from caravan.web.middleware.plain_paths import PlainPathsMiddleware
from caravan.web.not_found_hints import all_routes
from caravan.web.routes import (
    admin,
    chat,
    completions,
    docs,
    embeddings,
    models,
    ops,
    responses,
    tokenize,
)

# As content, since FastAPI would give a "model" the media type of the route's answer: text for `/metrics`.
_FAILURE = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorResponse.__name__}"}}}
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"content": _FAILURE}, "5XX": {"content": _FAILURE}}

# What scripts of web pages may read besides the body.
_SHOWN_HEADERS = (
    "x-request-id",
    "x-caravan-ignored",
    "x-caravan-replaced",
    "retry-after",
    "x-caravan-unenforced",
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ),
)

_ROUTERS = tuple(
    part.router for part in (chat, completions, responses, embeddings, tokenize, models, admin, ops)
)

# Schemas that FastAPI does not see, because routes read bodies from their bytes.
_BODIES: tuple[type[Schema], ...] = (
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingRequest,
    TokenizeRequest,
    DetokenizeRequest,
    ApplyTemplateRequest,
    ResponseRequest,
)
_ANSWERS: tuple[type[Schema], ...] = (ChatCompletionChunk, ErrorResponse, *get_args(Event))


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
        docs_url=None,
        redoc_url=None,
    )
    decoding = _decoding(settings, registry)
    constraints = ConstraintCompiler()
    chat_service = ChatService(registry, decoding, constraints)
    metrics = Metrics(lambda: _readings(registry))
    bodies = Bodies(
        budget=BodyBudget(max(settings.max_held_bytes, settings.max_body_bytes)), lanes=BodyThreads()
    )
    _add_middleware(app, settings, metrics, tracing, bodies.budget)
    app.state.services = Services(
        registry=registry,
        metrics=metrics,
        status=StatusService(registry),
        decoding=decoding,
        chat=chat_service,
        completions=CompletionService(registry, decoding, constraints),
        embeddings=EmbeddingService(registry),
        responses=ResponseService(registry, chat_service, _archive(settings)),
        tokens=TokenService(registry),
        bodies=bodies,
        max_body_bytes=settings.max_body_bytes,
        body_seconds=settings.body_seconds,
        strict_fields=settings.strict_fields,
        keep_alive_seconds=settings.sse_ping_seconds,
        shutdown_seconds=settings.shutdown_seconds,
    )
    for router in _ROUTERS:
        app.include_router(router, responses=_ERRORS)
    app.include_router(docs.router)
    error_response.install(app, all_routes(app, [*_ROUTERS, docs.router]))
    _describe_bodies(app, strict=settings.strict_fields)
    return app


def _add_middleware(
    app: FastAPI, settings: Settings, metrics: Metrics, tracing: Tracing | None, budget: BodyBudget
) -> None:
    """From the inside out: heads alone, the memory of bodies, who may come in, which web pages may call,
    which paths there can be, what the server's end cuts off, and the journal of it all.
    """
    ring = open_ring(settings)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(BodyMeter, budget=budget)
    app.add_middleware(AuthMiddleware, ring=ring, quotas=Quotas(), share_prefixes=settings.share_prefixes)
    if settings.cors_origins:
        app.add_middleware(CorsMiddleware, origins=settings.cors_origins, shown_headers=_SHOWN_HEADERS)
    app.add_middleware(
        CrossSiteMiddleware,
        origins=settings.cors_origins,
        hosts=AllowedHosts(settings.host, settings.allowed_hosts),
        is_open=ring.is_open,
        unnamed=OPEN_PATHS,
    )
    app.add_middleware(PlainPathsMiddleware)
    app.add_middleware(LastAnswers)
    app.add_middleware(
        AccessLogMiddleware,
        metrics=metrics,
        tracing=tracing,
        routes=all_routes(app, [*_ROUTERS, docs.router]),
    )


def _decoding(settings: Settings, registry: ModelRegistry) -> DecodingPlanner:
    decoding = DecodingPlanner(
        limits=RequestLimits(max_choices=settings.max_choices, max_prompts=settings.max_prompts),
        presets=presets.load(settings.presets),
        operator=presets.operator_defaults(settings.defaults),
    )
    for offer in registry.offers:
        presets.operator_defaults(offer.operator_defaults, f"defaults of the model '{offer.id}'")
    registry.add_check(decoding.check)
    return decoding


def _archive(settings: Settings) -> AsyncResponseStore:
    path = settings.responses_path
    # Where nobody asked for responses to be kept, those who do not need that are served.
    if settings.responses_db is not None and path is not None:
        place.check(path)
    return AsyncResponseStore(
        path, Limits(max_seconds=settings.responses_days * 86400, max_bytes=settings.responses_bytes)
    )


def _readings(registry: ModelRegistry) -> list[EngineReading]:
    models = [model for offer in registry.offers if (model := registry.loaded(offer.id))]
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
        await app.state.services.registry.close()


def _describe_bodies(app: FastAPI, *, strict: bool) -> None:
    """Put the schemas into `/docs` that routes do not declare; bodies may have more, unless it is strict."""
    infer = app.openapi

    def openapi() -> dict[str, Any]:
        document = infer()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in _definitions(_ANSWERS + _BODIES).items():
            schemas.setdefault(name, schema)
        for name in () if strict else _definitions(_BODIES):
            schemas[name].pop("additionalProperties", None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _definitions(schemas: Sequence[type[Schema]]) -> dict[str, Any]:
    """JSON schemas of these and of all that is in them, by name."""
    _, document = models_json_schema(
        [(schema, "validation") for schema in schemas], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = document["$defs"]
    return definitions
