"""Loading and unloading models by hand: `POST /admin/models/{id}/load` and `.../unload`."""

from caravan_schemas.models import ModelCard
from fastapi import APIRouter

from caravan.web.dependencies import AdminOnly, UseContext, UseServices
from caravan.web.routes.models import card

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
