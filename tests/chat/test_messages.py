"""Messages off the wire, as templates get them."""

from pydantic import TypeAdapter

from schemas.messages import Message
from server.chat.messages import normalize
from server.chat.template import CHATML, ChatTemplate

MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


def plain(messages: list[dict[str, object]], template: str = CHATML) -> list[dict[str, object]]:
    return normalize(MESSAGES.validate_python(messages), ChatTemplate(template))


def test_every_role() -> None:
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": ""},
    ]
    assert plain(messages) == messages


def test_a_refusal_is_what_the_assistant_said() -> None:
    parts = [{"type": "text", "text": "Well, "}, {"type": "refusal", "refusal": "no."}]
    said: list[dict[str, object]] = [
        {"role": "assistant", "content": parts},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    assert [message["content"] for message in plain(said)] == ["Well, no.", "No."]


def test_a_thought_reaches_the_template() -> None:
    message: dict[str, object] = {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    assert plain([message]) == [message]


def test_parts_are_joined_as_they_are() -> None:
    parts = [{"type": "text", "text": text} for text in ("a", "", " b\n", "c")]
    assert plain([{"role": "user", "content": parts}]) == [{"role": "user", "content": "a b\nc"}]


def test_developer_is_system_to_templates_that_do_not_know_it() -> None:
    message: dict[str, object] = {"role": "developer", "content": "a"}
    assert plain([message]) == [{"role": "system", "content": "a"}]
    assert plain([message], "{# knows the developer #}") == [message]


def test_a_name_reaches_the_template() -> None:
    message: dict[str, object] = {"role": "user", "content": "a", "name": "Ada"}
    assert plain([message]) == [message]
    assert plain([{**message, "name": None}]) == [{"role": "user", "content": "a"}]
