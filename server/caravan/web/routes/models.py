"""`GET /v1/models` and `GET /v1/models/{id}`."""

from dataclasses import asdict
from http import HTTPStatus

from caravan_schemas.anthropic_output import MessagesModel, MessagesModelList
from caravan_schemas.models import ModelDetails, ModelList, TemplateDetails
from caravan_schemas.queries import ModelsQuery
from fastapi import APIRouter, HTTPException, Request

from caravan.api.messages.models import model_info, model_page
from caravan.api.model_cards import card_of, cards
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_thread
from caravan.web.dependencies import UseContext, UseServices
from caravan.web.envelopes import is_anthropics
from caravan.web.openapi import describe_query
from caravan.web.query_params import read_query

router = APIRouter(tags=["models"])


@router.get("/v1/models", openapi_extra=describe_query(ModelsQuery))
async def list_models(
    request: Request, services: UseServices, context: UseContext
) -> ModelList | MessagesModelList:
    """All models served here, loaded or not; a request for one that is not loaded waits for it.

    With the header `anthropic-version`, a page of them in Anthropic's shape; the parameters are for this.
    """
    registry = services.registry
    found = await cards(registry, context.principal)
    if not is_anthropics(request.scope):
        return ModelList(data=found)
    return model_page(found, read_query(request, ModelsQuery, strict=services.strict_fields))


# Names may contain slashes, as those of hubs do.
@router.get("/v1/models/{model_id:path}")
async def get_model(
    model_id: str, request: Request, services: UseServices, context: UseContext
) -> ModelDetails | MessagesModel:
    """One model, by its id or an alias, with the decoding values that hold where a request says nothing.

    With the header `anthropic-version`, the model in Anthropic's shape.
    """
    if not model_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    registry, decoding = services.registry, services.decoding
    spec = registry.find(model_id, context.principal)
    shown = await card_of(registry, model_id, context.principal)
    if is_anthropics(request.scope):
        return model_info(shown)
    model = registry.loaded(model_id)
    metadata = await in_thread(spec.read_metadata) if model is None else model.metadata
    template = None if model is None else _template_details(model)
    return ModelDetails(
        **shown.model_dump(),
        defaults=decoding.shown_defaults(metadata, spec.operator_defaults),
        presets=decoding.shown_presets(),
        chat_template=template,
        file=None if model is None else model.engine.file_change or "unchanged",
        max_draft_tokens=None if model is None else model.engine.traits.max_drafted,
        prefix_reuse=None if model is None else model.engine.traits.prefix_reuse,
    )


def _template_details(model: LoadedModel) -> TemplateDetails:
    """What the templates of a loaded model support, and how conversations are adapted to them."""
    told = model.template_summary
    return TemplateDetails.model_validate(asdict(told) | {"adaptations": list(told.adaptations)})
