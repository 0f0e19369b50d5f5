"""Fields that are not declared: unknown, unsupported, or asking for nothing."""

import json

import pytest

from schemas.chat import ChatCompletionRequest
from server.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from server.service.unsupported import NEUTRAL_VALUES
from server.service.validation import parse

USER = {"role": "user", "content": "Hi"}


def read(fields: dict[str, object], *, allow_unknown: bool = False) -> ChatCompletionRequest:
    body = json.dumps({"model": "m", "messages": [USER], **fields}).encode()
    return parse(ChatCompletionRequest, body, allow_unknown=allow_unknown)


@pytest.mark.parametrize(
    ("field", "near"),
    [("temprature", "temperature"), ("max_token", "max_tokens"), ("Stream", "stream"), ("topp", "top_p")],
)
def test_an_unknown_field_is_refused_with_the_nearest_name(field: str, near: str) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        read({field: 1})
    assert caught.value.param == field
    assert caught.value.message == f"Unknown parameter: '{field}'. Did you mean '{near}'?"


def test_a_name_that_resembles_nothing_gets_no_advice() -> None:
    with pytest.raises(UnknownParameterError) as caught:
        read({"qqqqqqqq": 1})
    assert caught.value.message == "Unknown parameter: 'qqqqqqqq'."


def test_a_misspelt_required_field_is_reported_as_misspelt() -> None:
    with pytest.raises(UnknownParameterError, match=r"'mesages'\. Did you mean 'messages'"):
        parse(ChatCompletionRequest, b'{"model": "m", "mesages": []}', allow_unknown=False)
    with pytest.raises(UnknownParameterError, match=r"'messages\[0\].contnt'. Did you mean 'content'"):
        read({"messages": [{"role": "user", "contnt": "Hi"}]})
    with pytest.raises(InvalidRequestError, match=r"'messages\[0\].content' is required"):
        read({"messages": [{"role": "user", "contnt": "Hi"}]}, allow_unknown=True)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("messages[1].extra", {"messages": [USER, {**USER, "extra": 1}]}),
        ("messages[0].tool_call_id", {"messages": [{**USER, "tool_call_id": "x"}]}),
        (
            "messages[0].content[1].extra",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "extra": 1}],
                    }
                ]
            },
        ),
        ("stream_options.extra", {"stream": True, "stream_options": {"extra": None}}),
        ("<string>", {"<string>": 1}),
    ],
)
def test_unknown_fields_are_found_at_every_depth(path: str, fields: dict[str, object]) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        read(fields)
    assert caught.value.param == path
    read(fields, allow_unknown=True)


@pytest.mark.parametrize(
    ("field", "neutral", "asking"),
    [
        ("web_search_options", [None], [{}]),
        (
            "prediction",
            [
                None,
                {"type": "content", "content": "x"},
                {"type": "content", "content": [{"type": "text", "text": "x"}]},
            ],
            [{}, "x", {"type": "other", "content": "x"}, {"type": "content", "content": [{"type": "text"}]}],
        ),
        ("length_penalty", [None, 1, 1.0], [2, True]),
        ("metadata", [None, {}, {"a": "b"}], [{"a": 1}, "a", ["a"]]),
        ("store", [None, True, False], [1, "true"]),
        ("safety_identifier", [None, "", "someone"], [5, ["a"]]),
        ("prompt_cache_key", [None, "", "chat"], [5, {}]),
        ("prompt_cache_retention", [None, "24h"], ["1h", 24]),
        ("service_tier", [None, "auto", "default"], ["flex"]),
        ("modalities", [None, ["text"]], [["text", "audio"]]),
    ],
)
def test_unsupported_fields_pass_only_when_they_ask_for_nothing(
    field: str, neutral: list[object], asking: list[object]
) -> None:
    for value in neutral:
        read({field: value})
    for value in asking:
        for allow_unknown in (False, True):
            with pytest.raises(UnsupportedParameterError) as caught:
                read({field: value}, allow_unknown=allow_unknown)
            assert caught.value.param == field


def test_every_unsupported_field_passes_as_null_and_none_is_declared() -> None:
    top = [name for name in NEUTRAL_VALUES if "." not in name]
    read(dict.fromkeys(top))
    assert not set(top) & set(ChatCompletionRequest.model_fields)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("messages[1].tool_calls", {"role": "user", "content": "x", "tool_calls": [{"id": "x"}]}),
        ("messages[1].audio", {"role": "assistant", "content": "x", "audio": {"id": "x"}}),
        (
            "messages[1].content[0].image_url",
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        ),
        ("messages[1].content[0].type", {"role": "user", "content": [{"type": "input_audio"}]}),
    ],
)
def test_what_messages_cannot_hold_yet_is_refused_by_name(path: str, message: dict[str, object]) -> None:
    with pytest.raises(UnsupportedParameterError) as caught:
        read({"messages": [USER, message]})
    assert caught.value.param == path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 3}, "'temperature' must be from 0 to 2."),
        ({"top_p": 0}, "'top_p' must be greater than 0 and at most 1."),
        ({"max_tokens": -1}, "'max_tokens' must be from 0 to 2147483647."),
        ({"max_tokens": 1.5}, "'max_tokens' must be an integer."),
        ({"temperature": "hot"}, "'temperature' must be a number."),
        ({"messages": []}, "'messages' must have at least 1 item."),
        ({"stop": 5}, "'stop' must be a string or an array of strings."),
        ({"stop": ["a", ""]}, "'stop[1]' must not be empty."),
        ({"model": None}, "'model' must be a string."),
    ],
)
def test_messages_are_one_clear_sentence(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(fields)
    assert caught.value.message == message
