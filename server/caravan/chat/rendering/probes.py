"""Conversations with which templates are tried."""

from collections.abc import Iterator, Mapping
from typing import Any

from caravan.chat.rendering.turns import Call, Conversation, Turn

Tool = Mapping[str, Any]

THOUGHT = "qzthoughtzq"
UNKNOWN_ROLE = "qzrolezq"
DESCRIBED: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "qz_tool",
        "description": "qz_purpose",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "Text."}},
            "required": ["a"],
        },
    },
}
NAMED: Mapping[str, Any] = {
    "type": "function",
    "function": {"name": "qz_tool", "parameters": {"type": "object", "properties": {}}},
}
UNTYPED: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "qz_tool",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {},
                "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "c": {"enum": ["x", "y"]},
                "d": {"$ref": "#/$defs/D"},
                "e": {"type": "array"},
                "f": {"type": "array", "items": {"type": "object", "properties": {"g": {}}}},
                "h": {"type": ["string", "null"], "default": None},
            },
            "$defs": {"D": {"type": "object", "properties": {"g": {"type": "integer"}}}},
        },
    },
}

_ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "x": UNKNOWN_ROLE}


def probes(*letters: str, tool: Tool | None = None) -> list[Conversation]:
    """Conversations by their letters."""
    return [Conversation(turns_of(word), None if tool is None else [tool]) for word in letters]


def turns_of(letters: str) -> list[Turn]:
    """A conversation: `s`, `d`, `u`, `a` are messages with text, `x` is of a role that no template
    knows, and `T` is an answer with a thought.

    `c` is a call and its result, `p` are two at once; `b` and `q` are the same with content, `t` with a
    thought, `w` with both.
    """
    turns: list[Turn] = []
    for letter in letters:
        if letter in _ROLES:
            turns.append(Turn(len(turns), _ROLES[letter], f"x{len(turns)}"))
        elif letter == "T":
            turns.append(Turn(len(turns), "assistant", "x", thought=THOUGHT))
        else:
            turns += _loop(letter, len(turns))
    return turns


def _loop(letter: str, place: int) -> Iterator[Turn]:
    ids = [f"call_{place:04d}{number:016d}" for number in range(2 if letter in "pq" else 1)]
    yield Turn(
        place,
        "assistant",
        "x" if letter in "bqw" else None,
        tuple(Call(call_id, "qz_tool", {"a": "x"}) for call_id in ids),
        THOUGHT if letter in "tw" else None,
    )
    for number, call_id in enumerate(ids, 1):
        yield Turn(place + number, "tool", "x", name="qz_tool", call_id=call_id)


def words_of(conversation: Conversation) -> list[str]:
    """What a template that shows the tools cannot but show."""
    functions = [tool["function"] for tool in conversation.tools or ()]
    texts = [text for function in functions for text in (function["name"], function.get("description"))]
    return list(filter(None, texts))
