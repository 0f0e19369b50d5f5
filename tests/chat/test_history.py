"""Calls of earlier turns and their results, as templates get them."""

import json
from typing import Any

import pytest
from caravan.chat.messages import normalize
from caravan.chat.rendering.turns import Call, Turn
from caravan.errors import InvalidRequestError
from caravan.runtime.json_size import MAX_CONTAINERS
from caravan_schemas.messages import Message
from pydantic import TypeAdapter

MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
USER = {"role": "user", "content": "Hi"}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls), **fields}


def result(call_id: str, content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def turns(*messages: dict[str, Any]) -> list[Turn]:
    return normalize(MESSAGES.validate_python([USER, *messages]))[1:]


def refused(*messages: dict[str, Any]) -> str | None:
    with pytest.raises(InvalidRequestError) as caught:
        turns(*messages)
    assert f"'{caught.value.param}'" in caught.value.message
    return caught.value.param


def test_arguments_become_objects() -> None:
    (message,) = turns(calling(call("a", "add", '{"x": [1, {"y": null}]}')), result("a"))[:1]
    assert message == Turn(1, "assistant", None, (Call("a", "add", {"x": [1, {"y": None}]}),))


def test_no_arguments_are_an_empty_object() -> None:
    assert turns(calling(call("a", arguments="")), result("a"))[0].calls[0].arguments == {}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("{", {}),
        ('{"a": "to be cont', {"a": "to be cont"}),
        ('{"a": [1, {"b": tru', {"a": [1, {}]}),
        ("null", {}),
        ("{'a': True, 'b': None,}", {"a": True, "b": None}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": 12345678901234567890}', {"a": 12345678901234567890}),
        ("[]", {"input": "[]"}),
        ("5", {"input": "5"}),
        ("say hi", {"input": "say hi"}),
        ('{"a": NaN}', {"input": '{"a": NaN}'}),
        ('{"a": 1}}', {"a": 1}),
        ("[" * 10_000, {"input": "[" * 10_000}),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, {"input": '{"a":' * 10_000 + "1" + "}" * 10_000}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_arguments_are_mended_or_shown_as_text(arguments: str, shown: dict[str, Any]) -> None:
    calls = calling(call("a", arguments=arguments), function_call=None)
    assert turns(calls, result("a"))[0].calls[0].arguments == shown
    older = {"role": "assistant", "function_call": {"name": "f", "arguments": arguments}}
    answer = {"role": "function", "name": "f", "content": "x"}
    assert turns(older, answer)[0].calls[0].arguments == shown


def test_results_follow_in_the_order_of_the_calls() -> None:
    shown = turns(calling(call("a", "f"), call("b", "g")), result("b", "2"), result("a", "1"), USER)
    assert [(turn.role, turn.content) for turn in shown[1:]] == [("tool", "1"), ("tool", "2"), ("user", "Hi")]
    assert [turn.name for turn in shown[1:3]] == ["f", "g"]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([result("a")], "messages[1].tool_call_id"),
        ([calling(call("a")), result("b")], "messages[2].tool_call_id"),
        ([calling(call("a")), result("a"), result("a")], "messages[3].tool_call_id"),
        ([calling(call("a")), result("a"), USER, result("a")], "messages[4].tool_call_id"),
        ([calling(call("a"), call("a"))], "messages[1].tool_calls[1].id"),
        ([calling(call("a"), call("b")), result("a"), USER], "messages[1].tool_calls[1]"),
        ([calling(call("a"))], "messages[1].tool_calls[0]"),
        ([{"role": "assistant", "content": None}], "messages[1].content"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages[1].name"),
        ([calling(call("a")), {"role": "function", "name": "f", "content": "x"}], "messages[2].name"),
        ([calling(call("a"), function_call={"name": "f", "arguments": "{}"})], "messages[1].function_call"),
    ],
)
def test_what_does_not_match_is_named(messages: list[dict[str, Any]], param: str) -> None:
    assert refused(*messages) == param


def test_the_older_form_is_shown_as_the_newer() -> None:
    older = {"role": "assistant", "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    shown = turns(older, {"role": "function", "name": "f", "content": "x"})
    assert (shown[0].calls[0].name, shown[0].calls[0].arguments) == ("f", {"a": 1})
    assert (shown[1].role, shown[1].call_id) == ("tool", shown[0].calls[0].id)


def test_a_custom_call_is_shown_as_a_function_with_an_input() -> None:
    custom = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    shown = turns(calling(custom), result("a"))
    assert shown[0].calls == (Call("a", "sql", {"input": "select 1"}),)


def test_arguments_with_too_much_in_them_are_shown_as_a_text() -> None:
    much = json.dumps({"a": [[]] * (MAX_CONTAINERS + 1)})
    assert turns(calling(call("a", arguments=much)), result("a"))[0].calls[0].arguments == {"input": much}
    text = json.dumps({"a": "[" * (MAX_CONTAINERS + 1)})
    assert turns(calling(call("a", arguments=text)), result("a"))[0].calls[0].arguments == json.loads(text)
