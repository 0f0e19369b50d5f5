"""Items as they are stored and listed, each with an id, and as they are read again."""

from collections.abc import Sequence

from caravan_schemas.responses_items import InputMessage, Item, MessageContent, PastReasoning, PastRefusal
from caravan_schemas.responses_output import OutputItem
from pydantic import TypeAdapter

from caravan.api.responses.initial import new_id
from caravan.api.responses.store import Row

_ITEM: TypeAdapter[Item] = TypeAdapter(Item)
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


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
    row["status"] = getattr(item, "status", None) or "completed"
    return row


def row_of_output(item: OutputItem) -> Row:
    """An item of a response; those of custom tools have a status in lists only."""
    row = item.model_dump(mode="json")
    row.setdefault("status", "completed")
    return row


def read_rows(rows: Sequence[Row]) -> list[Item]:
    """Items as a client would have sent them."""
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
