"""`GET /v1/models` and `GET /v1/models/{id}`."""

from fastapi import APIRouter

from schemas.models import ModelCard, ModelDetails, ModelList
from server.loaded_model import LoadedModel
from server.routes.deps import UseServices

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(services: UseServices) -> ModelList:
    """All models served here."""
    return ModelList(data=[_card(model) for model in services.registry.models])


# Names may contain slashes, as those of hubs do.
@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, services: UseServices) -> ModelDetails:
    """One model, by its id or an alias, with the decoding values that hold where a request says nothing."""
    model = services.registry.find(model_id)
    decoding = services.decoding
    return ModelDetails(
        **_card(model).model_dump(), defaults=decoding.shown_defaults(model), presets=decoding.shown_presets()
    )


def _card(model: LoadedModel) -> ModelCard:
    return ModelCard(id=model.id, object="model", created=model.created, owned_by="caravan")
