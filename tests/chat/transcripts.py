"""Raw texts of models with what is to be found in them, and ways to look."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from caravan.chat.families import ModelFamily
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Event
from caravan.chat.parsing.stream_parser import ReasoningMarkers
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec

STRING = {"type": "string"}
FILTERS = {
    "type": "object",
    "properties": {"site": STRING, "after": {"type": "integer"}},
    "additionalProperties": False,
}
PROPERTIES: dict[str, dict[str, Any]] = {
    "get_weather": {
        "city": STRING,
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer"},
    },
    "search": {
        "query": STRING,
        "limit": {"type": "integer"},
        "exact": {"type": "boolean"},
        "tags": {"type": "array", "items": STRING},
        "filters": FILTERS,
    },
    "note": {"text": STRING, "level": {"type": ["string", "null"]}},
    "now": {},
}
TOOLS = [
    ToolSpec(
        name,
        {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:1],
            "additionalProperties": False,
        },
        strict=True,
    )
    for name, properties in PROPERTIES.items()
]


@dataclass(frozen=True)
class Transcript:
    """A text, and what is in it. `grammar` says that the calls are as the format's grammar writes them."""

    format: str
    case: str
    text: str
    reasoning: str
    content: str
    calls: list[dict[str, Any]]
    markers: list[str] = field(default_factory=list)
    is_open: bool = False
    grammar: bool = False
    unbound_only: bool = False

    def __str__(self) -> str:
        return f"{self.format}: {self.case}"

    @property
    def family(self) -> ModelFamily:
        start, end, *dropped = self.markers or [""] * 2
        reasoning = ReasoningMarkers(start, end, tuple(dropped)) if start else None
        return ModelFamily(reasoning, FORMATS[self.format])


@dataclass
class Answer:
    """All events of an answer, joined."""

    reasoning: str = ""
    content: str = ""
    calls: list[tuple[str, str | None, str]] = field(default_factory=list)


TRANSCRIPTS = [
    Transcript(format=path.stem, **case)
    for path in sorted((Path(__file__).parent / "data").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


def joined(events: Sequence[Event]) -> Answer:
    answer = Answer()
    for event in events:
        if isinstance(event, CallStart):
            assert event.index == len(answer.calls)
            answer.calls.append((event.name, event.id, ""))
        elif isinstance(event, CallArguments):
            assert event.index == len(answer.calls) - 1
            name, call_id, text = answer.calls[-1]
            answer.calls[-1] = (name, call_id, text + event.text)
        elif event.channel is Channel.CONTENT:
            answer.content += event.text
        else:
            answer.reasoning += event.text
    return answer


def parsed(
    family: ModelFamily, pieces: Sequence[str], *, is_open: bool = False, bound: bool = False
) -> Answer:
    parser = family.parser(TOOLS, is_open=is_open, bound=bound)
    return joined([*(event for piece in pieces for event in parser.feed(piece)), *parser.finish()])
