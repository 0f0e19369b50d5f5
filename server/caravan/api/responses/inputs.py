"""The items that a response answers, those of earlier responses and of its request: read, and stored."""

import re
from collections.abc import Sequence

from caravan_schemas.media import AudioPart
from caravan_schemas.responses_input import ConversationInput
from caravan_schemas.responses_items import (
    AdditionalTools,
    Compaction,
    Input,
    InputImage,
    InputMessage,
    Item,
    ItemReference,
    MessageContent,
    PastReasoning,
    PastRefusal,
)
from caravan_schemas.responses_output import OutputItem
from pydantic import TypeAdapter

from caravan.api.responses.conversation import CONVERSATION, HISTORY, Placed
from caravan.api.responses.snapshot import conversation_of, new_id
from caravan.api.store import AsyncStore, LongHistoryError, MissingError, Row, Shelf, StorageBusyError
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError, InvalidValueError
from caravan.runtime.threads import in_busy_thread

TOO_LONG = "conversation_too_long"
_MAX_ITEM_ID = 256
_PART_OF_PATH = re.compile(rf"[!-.0-~]{{1,{_MAX_ITEM_ID}}}")
_ITEM: TypeAdapter[Item] = TypeAdapter(Item)
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "additional_tools": "at",
    "compaction": "cmp",
}


async def earlier_rows(archive: AsyncStore, principal: Principal, request: ConversationInput) -> list[Row]:
    """The items of the conversation or of the responses before, as they are stored.

    Raises InvalidRequestError, and StorageBusyError for what is not stored yet.
    """
    owner, previous = principal.id, request.previous_response_id
    if (conversation := conversation_of(request)) is not None:
        return await _conversation_rows(archive, principal, conversation)
    if previous is None:
        return []
    if archive.outcomes.find(owner, previous) is not None:
        raise StorageBusyError(f"The response '{previous}' is not stored yet.")
    try:
        status = (await archive.do(lambda store: store.get(owner, previous), owner))["status"]
        rows = await archive.do(lambda store: store.history(owner, previous), owner)
    except MissingError as error:
        raise InvalidRequestError(
            f"Previous response with id '{error}' not found.",
            param=HISTORY,
            code="previous_response_not_found",
        ) from error
    except LongHistoryError as error:
        message = f"'{HISTORY}' names the end of a conversation with {error}."
        raise InvalidRequestError(message, param=HISTORY, code=TOO_LONG) from error
    if status in ("queued", "in_progress"):
        raise InvalidValueError(HISTORY, "names a response that is still being made")
    return rows


async def _conversation_rows(archive: AsyncStore, principal: Principal, name: str) -> list[Row]:
    """The items of a conversation; raises InvalidRequestError."""
    if archive.outcomes.has_for(principal.id, name):
        raise StorageBusyError(f"What was said last in '{name}' is not stored yet.")
    try:
        shelf = Shelf(archive, "conversation")
        return await shelf.find(name, principal, lambda s, o: s.history(o, name, "conversation"))
    except LongHistoryError as error:
        message = f"'{CONVERSATION}' names one of {error}."
        raise InvalidRequestError(message, param=CONVERSATION, code=TOO_LONG) from error
    except InvalidRequestError as error:
        error.param = CONVERSATION
        raise


def duplicate(item_id: str, param: str) -> InvalidRequestError:
    """The error about an item that would be twice in a conversation."""
    message = f"'{param}' has the item '{item_id}', which would be twice in the conversation."
    return InvalidRequestError(message, param=param, code="duplicate_item")


def check_item_id(item_id: str, param: str) -> None:
    """Refuse an id under which an item of a conversation could not be asked for: it is a part of a path."""
    if not _PART_OF_PATH.fullmatch(item_id) or item_id in (".", ".."):
        complaint = f"must be 1 to {_MAX_ITEM_ID} letters, digits or signs of ASCII, without spaces and '/'"
        raise InvalidValueError(param, complaint)


def check_new(history: Sequence[Row], own: Sequence[Item]) -> None:
    """Refuse items that a conversation would have twice, or that could not be asked for in it."""
    known = {row["id"] for row in history}
    for index, item in enumerate(own):
        if item.id:
            check_item_id(item.id, f"input[{index}].id")
        if item.id is not None and item.id in known:
            raise duplicate(item.id, "input")
        known.add(item.id)


async def own_items(archive: AsyncStore, owner: str, given: Input | None, param: str = "input") -> list[Item]:
    """The items of a request, references resolved; raises InvalidRequestError."""
    if given is None:
        return []
    if isinstance(given, str):
        return [InputMessage(type="message", role="user", content=given)]
    references = {index: item for index, item in enumerate(given) if isinstance(item, ItemReference)}
    if not references:
        return given
    rows = await _referenced(archive, owner, [item.id for item in references.values()], param)
    for (index, item), row in zip(references.items(), rows, strict=True):
        if row is None:
            raise InvalidRequestError(
                f"Item with id '{item.id}' not found.", param=f"{param}[{index}].id", code="item_not_found"
            )
    found = await in_busy_thread(read_rows, [row for row in rows if row is not None])
    resolved = dict(zip(references, found, strict=True))
    return [resolved.get(index, item) for index, item in enumerate(given)]


def placed(history: Sequence[Row], request: ConversationInput, own: Sequence[Item]) -> list[Placed]:
    """All items in order, each with the path that errors call it by."""
    path = HISTORY if request.conversation is None else CONVERSATION
    earlier = [Placed(path, item) for item in read_rows(history)]
    if isinstance(request.input, str):
        return earlier + [Placed("input", item) for item in own]
    return earlier + [Placed(f"input[{index}]", item) for index, item in enumerate(own)]


async def _referenced(
    archive: AsyncStore, owner: str, item_ids: Sequence[str], param: str
) -> list[Row | None]:
    try:
        return await archive.do(lambda store: store.items(owner, item_ids), owner)
    except LongHistoryError as error:
        message = f"'{param}' refers to {error}."
        raise InvalidRequestError(message, param=param, code=TOO_LONG) from error


def rows_of(items: Sequence[Item]) -> list[Row]:
    """The items of a request, to be stored."""
    return [row_of_input(item) for item in items]


def row_of_input(item: Item) -> Row:
    """An item of a request; what it leaves out is filled in."""
    if isinstance(item, InputMessage):
        row: Row = {"type": "message", "role": item.role, "content": _parts(item.content, item.role)}
    else:
        row = item.model_dump(mode="json", exclude_none=True, exclude={"parsed_arguments"})
        row["type"] = item.type
        if isinstance(item, PastReasoning):
            row["summary"] = [part.model_dump() for part in item.summary]
    row["id"] = item.id or new_id(_PREFIXES[row["type"]])
    if not isinstance(item, AdditionalTools | Compaction):
        row["status"] = getattr(item, "status", None) or "completed"
    return row


def row_of_output(item: OutputItem) -> Row:
    """An item of a response; those of custom tools have a status in lists only."""
    row = item.model_dump(mode="json", exclude_unset=True)
    row.setdefault("status", "completed")
    return row


def read_rows(rows: Sequence[Row]) -> list[Item]:
    """Stored items, as a client would have sent them."""
    return [_ITEM.validate_python(row) for row in rows]


def _parts(content: MessageContent, role: str) -> list[Row]:
    parts = [content] if isinstance(content, str) else content
    rows: list[Row] = []
    for part in parts:
        if isinstance(part, PastRefusal):
            rows.append({"type": "refusal", "refusal": part.refusal})
        elif isinstance(part, InputImage):
            image = part.model_dump(mode="json", exclude_none=True)
            # OpenAI's client wants it to be there.
            rows.append({"detail": "auto", **image})
        elif isinstance(part, AudioPart):
            rows.append(part.model_dump(mode="json"))
        else:
            text = part if isinstance(part, str) else part.text
            if role == "assistant":
                rows.append({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            else:
                rows.append({"type": "input_text", "text": text})
    return rows
