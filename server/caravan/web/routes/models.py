"""`GET /v1/models` and `GET /v1/models/{id}`."""

from dataclasses import asdict
from http import HTTPStatus

from caravan_schemas.models import ModelCard, ModelDetails, ModelList, ModelMeta, TemplateDetails
from fastapi import APIRouter, HTTPException

from caravan.models import ModelRegistry, ModelSpec, may_use
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread
from caravan.web.dependencies import UseContext, UseServices

router = APIRouter(tags=["models"])


@router.get("/v1/models")
async def list_models(services: UseServices, context: UseContext) -> ModelList:
    """All models served here, loaded or not; a request for one that is not loaded waits for it."""
    registry = services.registry
    usable = (spec for spec in registry.specs if may_use(spec, context.principal))
    return ModelList(data=[await card(registry, spec) for spec in usable])


# Names may contain slashes, as those of hubs do.
@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, services: UseServices, context: UseContext) -> ModelDetails:
    """One model, by its id or an alias, with the decoding values that hold where a request says nothing."""
    if not model_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    registry, decoding = services.registry, services.decoding
    spec = registry.find(model_id, context.principal)
    model = registry.loaded(model_id)
    metadata = await in_thread(spec.read_metadata) if model is None else model.metadata
    template = None if model is None else _template_details(model)
    return ModelDetails(
        **(await card(registry, spec)).model_dump(),
        defaults=decoding.shown_defaults(metadata, spec.operator_defaults),
        presets=decoding.shown_presets(),
        chat_template=template,
        file=None if model is None else model.engine.file_change or "unchanged",
    )


async def card(registry: ModelRegistry, spec: ModelSpec) -> ModelCard:
    """A model as lists show it."""
    model = registry.loaded(spec.id)
    context = await in_thread(spec.read_context)
    size = context.size if model is None else model.context_size
    return ModelCard(
        id=spec.id,
        object="model",
        created=spec.created,
        owned_by="caravan",
        status=registry.status(spec.id).value,
        max_model_len=size,
        context_length=size,
        context_window=size,
        meta=ModelMeta(n_ctx=size, n_ctx_train=context.trained),
    )


def _template_details(model: LoadedModel) -> TemplateDetails:
    """What the templates of a loaded model support, and how conversations are adapted to them."""
    told = model.template_summary
    return TemplateDetails.model_validate(asdict(told) | {"adaptations": list(told.adaptations)})
