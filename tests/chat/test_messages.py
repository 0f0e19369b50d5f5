"""Messages off the wire, as turns."""

import pytest
from caravan.chat.messages import normalize
from caravan.chat.rendering.turns import Turn
from caravan_schemas.messages import Message
from pydantic import TypeAdapter

MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


def turns(messages: list[dict[str, object]]) -> list[Turn]:
    return normalize(MESSAGES.validate_python(messages))


def test_every_role() -> None:
    roles = ("system", "developer", "user", "assistant")
    assert turns([{"role": role, "content": f"{role}."} for role in roles]) == [
        Turn(place, role, f"{role}.") for place, role in enumerate(roles)
    ]


def test_a_refusal_is_what_the_assistant_said() -> None:
    parts = [{"type": "text", "text": "Well, "}, {"type": "refusal", "refusal": "no."}]
    said: list[dict[str, object]] = [
        {"role": "assistant", "content": parts},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    assert [turn.content for turn in turns(said)] == ["Well, no.", "No."]


def test_a_thought_reaches_the_template() -> None:
    message: dict[str, object] = {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    assert turns([message]) == [Turn(0, "assistant", "a", thought="hm")]


OTHER_NAMES: list[dict[str, object]] = [
    {"reasoning": "hm"},
    {"thinking": "hm"},
    {"reasoning_text": "hm"},
    {"reasoning_content": "", "reasoning": "hm"},
    {"reasoning_content": None, "reasoning": "hm", "thinking": "other"},
    {"reasoning_details": [{"type": "reasoning.text", "text": "h", "signature": None}, {"text": "m"}]},
    {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm", "format": "x", "index": 0}]},
    {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
    {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "x"}]},
    {"content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}]},
    {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
            {"type": "text", "text": "a"},
        ]
    },
    {"content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"}]},
]


@pytest.mark.parametrize("fields", OTHER_NAMES, ids=str)
def test_a_thought_reaches_the_template_under_any_name(fields: dict[str, object]) -> None:
    said = turns([{"role": "assistant", "content": "a", **fields}])
    assert said == [Turn(0, "assistant", "a", thought="hm")]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": None, "reasoning_details": [], "thinking_blocks": None, "thinking": ""},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]},
        {"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}]},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_no_thought(fields: dict[str, object]) -> None:
    assert turns([{"role": "assistant", "content": "a", **fields}]) == [Turn(0, "assistant", "a")]


def test_parts_are_joined_as_they_are() -> None:
    parts = [{"type": "text", "text": text} for text in ("a", "", " b\n", "c")]
    assert turns([{"role": "user", "content": parts}]) == [Turn(0, "user", "a b\nc")]


def test_a_name_reaches_the_template() -> None:
    message: dict[str, object] = {"role": "user", "content": "a", "name": "Ada"}
    assert turns([message]) == [Turn(0, "user", "a", name="Ada")]
    assert turns([{**message, "name": None}]) == [Turn(0, "user", "a")]
