"""Whether what comes over the wire is to the letter what Anthropic's own package expects."""

import json
from typing import Any, get_args

from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from pydantic import BaseModel

from tests.openai_contract import faults

# What Anthropic has of its own service, and leaves out or sends as null where there is nothing to say.
_LEFT_OUT = {
    "message.Message": {"container", "diagnostics", "stop_details"},
    "usage.Usage": {"cache_creation", "inference_geo", "server_tool_use", "service_tier", "speed"},
    "text_block.TextBlock": {"citations"},
    "tool_use_block.ToolUseBlock": {"caller", "toolset_name"},
    "raw_message_delta_event.Delta": {"container", "stop_details"},
    "message_delta_usage.MessageDeltaUsage": {"server_tool_use"},
    "model_info.ModelInfo": {"capabilities", "deprecated_at", "line", "retires_at"},
}
_NULL = {
    "message.Message": {"stop_reason", "stop_sequence"},
    "raw_message_delta_event.Delta": {"stop_sequence"},
}
_ALLOWED = (
    *(f".{name} of {kind} is missing" for kind, names in _LEFT_OUT.items() for name in names),
    *(f".{name} of {kind} is null" for kind, names in _NULL.items() for name in names),
)
_EVENTS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(RawMessageStreamEvent)[0])
}


def check_message(data: dict[str, Any]) -> None:
    """Hold a message against Anthropic's type."""
    _check(Message, data)


def check_model(data: dict[str, Any]) -> None:
    """Hold a model against Anthropic's type."""
    _check(ModelInfo, data)


def check_events(text: str) -> None:
    """Hold a stream against Anthropic's types: every event under its own name, and none that is unknown."""
    for block in filter(None, text.split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        # Its SDK passes over pings, and has no type for them.
        if event["type"] != "ping":
            _check(_EVENTS[event["type"]], event)
    assert event["type"] == "message_stop"


def _check(kind: type[BaseModel], data: dict[str, Any]) -> None:
    read = kind.model_validate(data)
    found = [fault for fault in faults(read, data) if not fault.endswith(_ALLOWED)]
    assert not found, found
