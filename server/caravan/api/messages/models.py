"""The models as Anthropic's API lists them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from caravan_schemas.anthropic_output import MessagesModel, MessagesModelList
from caravan_schemas.models import ModelCard
from caravan_schemas.queries import ModelsQuery
from pydantic import JsonValue

from caravan.errors import InvalidValueError

_PAGE = 20
_EDITS = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def model_page(cards: Sequence[ModelCard], query: ModelsQuery) -> MessagesModelList:
    """Take a page of models; `has_more` tells of those further in its direction. Raises InvalidValueError."""
    found = [model_info(card) for card in cards if query.lifecycle is None or "active" in query.lifecycle]
    limit = query.limit or _PAGE
    if query.before_id is None:
        if query.after_id is not None:
            found = found[_place(cards, "after_id", query.after_id) + 1 :]
        page = found[:limit]
    elif query.after_id is None:
        found = found[: _place(cards, "before_id", query.before_id)]
        page = found[-limit:]
    else:
        raise InvalidValueError("before_id", "does not go with 'after_id'")
    return MessagesModelList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(page) < len(found),
    )


def model_info(card: ModelCard) -> MessagesModel:
    """Tell of one model."""
    return MessagesModel(
        id=card.id,
        display_name=card.id,
        created_at=datetime.fromtimestamp(card.created, UTC),
        max_input_tokens=card.context_length,
        max_tokens=card.context_length,
        capabilities=_capabilities(card),
    )


def _capabilities(card: ModelCard) -> dict[str, JsonValue]:
    """Say in Anthropic's words what a model can do, and that it cannot do what is done by services alone."""

    def where(is_supported: bool, **parts: JsonValue) -> dict[str, JsonValue]:
        return {"supported": is_supported, **parts}

    thinks, writes = "thinking" in card.capabilities, "structured_output" in card.capabilities
    types = {"enabled": where(thinks), "adaptive": where(thinks), "disabled": where(True)}
    absent = ("batch", "citations", "code_execution", "pdf_input")
    return {
        **{name: where(False) for name in absent},
        "image_input": where("vision" in card.capabilities),
        "context_management": where(False, **{edit: where(False) for edit in _EDITS}),
        "server_tools": where(False, web_search=where(False), code_execution=where(False)),
        "structured_outputs": where(writes),
        "thinking": where(thinks, types={**types, "between_tools": where(False)}),
        "effort": where(thinks, **{level: where(thinks) for level in _EFFORTS}),
    }


def _place(cards: Sequence[ModelCard], name: str, model_id: str) -> int:
    for place, card in enumerate(cards):
        if card.id == model_id:
            return place
    raise InvalidValueError(name, "is the id of no model here")
