"""For administrators: models and adapters loaded by hand, and what keys have used."""

from pathlib import Path

from caravan_schemas.models import ModelCard, NewAdapter, RemovedAdapter
from caravan_schemas.ops import UsageList
from caravan_schemas.queries import UsageQuery
from fastapi import APIRouter, Request, Response

from caravan.api.model_cards import card, card_of
from caravan.api.output.encoding import to_json
from caravan.config.paths import special_kind
from caravan.errors import InvalidValueError
from caravan.runtime.threads import in_busy_thread, in_thread
from caravan.web.dependencies import AdminOnly, UseContext, UseServices
from caravan.web.openapi import describe_body, describe_query
from caravan.web.query_params import read_query

_USUAL_DAYS = 30

router = APIRouter(tags=["administration"], dependencies=[AdminOnly])


@router.post("/admin/models/{model_id:path}/load")
async def load_model(model_id: str, services: UseServices, context: UseContext) -> ModelCard:
    """Load a model, as a first request would: others make room once their requests have ended.

    Answers when it is loaded; 503 with `Retry-After` if that fails or takes longer than the server lets
    requests wait.
    """
    async with services.registry.holding(model_id, context.principal):
        return await card(services.registry, services.registry.find(model_id, context.principal))


@router.post("/admin/models/{model_id:path}/unload")
async def unload_model(model_id: str, services: UseServices, context: UseContext) -> ModelCard:
    """Unload a model, a pinned one too, once its requests have ended; the next request loads it again.

    Its status is `available` when its memory is free. It is `unloading` when requests still run after the
    time that the server lets requests wait; the model then goes when they end.
    """
    await services.registry.unload(model_id, context.principal)
    return await card(services.registry, services.registry.find(model_id, context.principal))


@router.post(
    "/admin/models/{model_id:path}/adapters",
    response_model=ModelCard,
    openapi_extra=describe_body(NewAdapter),
)
async def add_adapter(
    model_id: str, request: Request, services: UseServices, context: UseContext
) -> ModelCard:
    """Load a LoRA adapter for a model, under a name that requests can ask for from then on.

    It stays, across loads of the model, until the server ends. The model is loaded if it is not.
    """
    body = await services.bodies.read(request, NewAdapter)
    path = Path(body.path)
    if (kind := await in_thread(special_kind, path)) is not None:
        raise InvalidValueError("path", f"is {kind}, and a regular file is needed")
    await services.registry.add_adapter(model_id, body.name, path, context.principal)
    return await card_of(services.registry, body.name, context.principal)


@router.delete("/admin/models/{model_id:path}/adapters/{name:path}")
async def remove_adapter(
    model_id: str, name: str, services: UseServices, context: UseContext
) -> RemovedAdapter:
    """Let requests name an adapter of a model no longer, and forget what was computed with it.

    Requests that run with it end as they would. Answers when they have and its memory is free, or after the
    time that the server lets requests wait; the memory is then freed later. One of the server's settings is
    there again when the server is started anew.
    """
    await services.registry.remove_adapter(model_id, name, context.principal)
    return RemovedAdapter(id=name, object="model", deleted=True)


@router.get("/admin/usage", response_model=UsageList, openapi_extra=describe_query(UsageQuery))
async def usage(request: Request, services: UseServices, context: UseContext) -> Response:
    """What each key has used of each model, day by day, as far as `--usage-db` has it."""
    days = read_query(request, UsageQuery, strict=services.strict_fields).days or _USUAL_DAYS
    rows = await services.usage.read(days)
    who, usable = context.principal, {spec.id for spec in services.registry.usable(context.principal)}
    # Who may use all may see those, too, that are there no longer.
    shown = UsageList(object="list", data=[row for row in rows if who.models is None or row.model in usable])
    return Response(await in_busy_thread(to_json, shown), media_type="application/json")
