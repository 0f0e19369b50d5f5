"""Whether what comes over the wire is to the letter what Ollama's own package expects."""

import json
from typing import Any

from pydantic import BaseModel

from tests.openai_contract import faults

# What only the line has that ends an answer.
_END = {"done_reason", "total_duration", "load_duration", "eval_count", "eval_duration"} | {
    "prompt_eval_count",
    "prompt_eval_duration",
}
# What Ollama leaves out, too, where there is nothing to say, or has of images and of embeddings alone.
_LEFT_OUT = {
    "Message": {"thinking", "images", "tool_name", "tool_calls"},
    "ChatResponse": {"logprobs"},
    "GenerateResponse": {"thinking", "context", "logprobs", "image", "completed", "total"},
    "EmbedResponse": {
        "created_at",
        "done",
        *(_END - {"total_duration", "load_duration", "prompt_eval_count"}),
    },
    "ShowResponse": {"modelfile", "license"},
}
# What Ollama's server sends and the package does not read.
_BEYOND = ("id", "index", "bytes", "name")


def check(kind: type[BaseModel], text: str) -> dict[str, Any]:
    """Hold an answer, or a line of one, against a type of Ollama's; what it says is returned."""
    said: dict[str, Any] = json.loads(text)
    left_out = {**_LEFT_OUT}
    if said.get("done") is False:
        left_out[kind.__name__] = left_out[kind.__name__] | _END
    allowed = tuple(
        f".{name} of _types.{each} is missing" for each, names in left_out.items() for name in names
    )
    found = faults(kind.model_validate_json(text, strict=True), said, _BEYOND)
    assert not (others := [fault for fault in found if not fault.endswith(allowed)]), others
    return said


def check_lines(kind: type[BaseModel], text: str) -> None:
    """Hold a stream against a type: of its lines the last one alone is the end."""
    *others, last = [check(kind, line)["done"] for line in text.splitlines()]
    assert last
    assert others
    assert not any(others)
