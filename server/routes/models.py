"""`GET /v1/models` and `GET /v1/models/{id}`."""

from fastapi import APIRouter

from schemas.models import ModelCard, ModelList
from server.loaded_model import LoadedModel
from server.routes.deps import UseServices

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(services: UseServices) -> ModelList:
    """All models served here."""
    return ModelList(data=[_card(model) for model in services.registry.models])


# Names may contain slashes, as those of hubs do.
@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, services: UseServices) -> ModelCard:
    """One model, by its id or an alias."""
    return _card(services.registry.find(model_id))


def _card(model: LoadedModel) -> ModelCard:
    return ModelCard(id=model.id, created=model.created, owned_by="caravan")
