"""The items that a response answers, those of earlier responses and of its request: read, and stored."""

from collections.abc import Sequence

from caravan_schemas.responses_input import ConversationInput
from caravan_schemas.responses_items import (
    AdditionalTools,
    Compaction,
    Input,
    InputMessage,
    Item,
    ItemReference,
    MessageContent,
    PastReasoning,
    PastRefusal,
)
from caravan_schemas.responses_output import OutputItem
from pydantic import TypeAdapter

from caravan.api.responses.conversation import HISTORY, Placed
from caravan.api.responses.snapshot import new_id
from caravan.api.store import AsyncStore, LongHistoryError, MissingError, Row
from caravan.errors import InvalidRequestError, InvalidValueError
from caravan.runtime.threads import in_busy_thread

_TOO_LONG = "conversation_too_long"
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


async def earlier_rows(archive: AsyncStore, owner: str, previous: str | None) -> list[Row]:
    """The items of the responses before, as they are stored; raises InvalidRequestError."""
    if previous is None:
        return []
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
        raise InvalidRequestError(message, param=HISTORY, code=_TOO_LONG) from error
    if status in ("queued", "in_progress"):
        raise InvalidValueError(HISTORY, "names a response that is still being made")
    return rows


async def own_items(archive: AsyncStore, owner: str, given: Input | None) -> list[Item]:
    """The items of a request, references resolved; raises InvalidRequestError."""
    if given is None:
        return []
    if isinstance(given, str):
        return [InputMessage(type="message", role="user", content=given)]
    references = {index: item for index, item in enumerate(given) if isinstance(item, ItemReference)}
    if not references:
        return given
    rows = await _referenced(archive, owner, [item.id for item in references.values()])
    for (index, item), row in zip(references.items(), rows, strict=True):
        if row is None:
            raise InvalidRequestError(
                f"Item with id '{item.id}' not found.", param=f"input[{index}].id", code="item_not_found"
            )
    found = await in_busy_thread(read_rows, [row for row in rows if row is not None])
    resolved = dict(zip(references, found, strict=True))
    return [resolved.get(index, item) for index, item in enumerate(given)]


def placed(history: Sequence[Row], request: ConversationInput, own: Sequence[Item]) -> list[Placed]:
    """All items in order, each with the path that errors call it by."""
    earlier = [Placed(HISTORY, item) for item in read_rows(history)]
    if isinstance(request.input, str):
        return earlier + [Placed("input", item) for item in own]
    return earlier + [Placed(f"input[{index}]", item) for index, item in enumerate(own)]


async def _referenced(archive: AsyncStore, owner: str, item_ids: Sequence[str]) -> list[Row | None]:
    try:
        return await archive.do(lambda store: store.items(owner, item_ids), owner)
    except LongHistoryError as error:
        message = f"'input' refers to {error}."
        raise InvalidRequestError(message, param="input", code=_TOO_LONG) from error


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
        else:
            text = part if isinstance(part, str) else part.text
            if role == "assistant":
                rows.append({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            else:
                rows.append({"type": "input_text", "text": text})
    return rows
