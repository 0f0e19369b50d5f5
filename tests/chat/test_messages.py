"""Messages off the wire, as turns."""

from pydantic import TypeAdapter

from schemas.messages import Message
from server.chat.messages import normalize
from server.chat.rendering.turns import Turn

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


def test_parts_are_joined_as_they_are() -> None:
    parts = [{"type": "text", "text": text} for text in ("a", "", " b\n", "c")]
    assert turns([{"role": "user", "content": parts}]) == [Turn(0, "user", "a b\nc")]


def test_a_name_reaches_the_template() -> None:
    message: dict[str, object] = {"role": "user", "content": "a", "name": "Ada"}
    assert turns([message]) == [Turn(0, "user", "a", name="Ada")]
    assert turns([{**message, "name": None}]) == [Turn(0, "user", "a")]
