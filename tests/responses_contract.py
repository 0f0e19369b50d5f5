"""Whether what comes over the wire is to the letter what OpenAI's own package expects of responses."""

import json
from typing import Any, get_args

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from tests.openai_contract import check

_EVENTS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}


def checked_response(data: dict[str, Any]) -> Response:
    """A response that has every field of OpenAI's, and no other."""
    assert set(data) == set(Response.model_fields)
    return Response.model_validate(check(Response, data))


def checked_event(data: dict[str, Any]) -> Any:  # noqa: ANN401
    """An event of a kind that OpenAI has, with nothing that its kind has not."""
    if "response" in data:
        checked_response(data["response"])
    return check(_EVENTS[data["type"]], data, beyond=("obfuscation",))


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each under its own name, numbered from zero, and nothing else."""
    events = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name, data = lines
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            checked_event(event)
            events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output that the events of a stream add up to, by what is added and by each delta."""
    items: list[dict[str, Any]] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(items)
            items.append(event["item"])
        elif "output_index" in event:
            item = items[event["output_index"]]
            _apply(kind, item, event)
    return items


def _apply(kind: str, item: dict[str, Any], event: dict[str, Any]) -> None:
    """Add an event to its item; what is said to be done must be what was added up."""
    text = "text" if kind.startswith(("output_text", "reasoning_")) else None
    text = text or ("arguments" if kind.startswith("function_call") else "input")
    if kind == "output_item.done":
        assert item["id"] == event["item"]["id"]
        # A status is the only thing that nothing but the end tells.
        assert {**item, "status": None} == {**event["item"], "status": None}
        item.update(event["item"])
        return
    assert event["item_id"] == item["id"]
    place = "summary" if "summary_index" in event else "content"
    if kind.endswith("part.added"):
        item[place].append(event["part"])
        return
    holder = item[place][event[f"{place}_index"]] if f"{place}_index" in event else item
    if kind.endswith("part.done"):
        assert holder == event["part"]
    elif kind.endswith(".delta"):
        holder[text] += event["delta"]
    else:
        assert holder[text] == event[text]
