"""Fields that are not declared: unknown, unsupported, or asking for nothing."""

import json
import re

import pytest
from caravan.api.validation.parse import parse
from caravan.api.validation.unsupported import NEUTRAL_VALUES
from caravan.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.responses import ResponseRequest
from caravan_schemas.tokenize import TokenizeRequest

USER = {"role": "user", "content": "Hi"}


def read(fields: dict[str, object], *, strict: bool = False) -> tuple[str, ...]:
    """What of a body has no effect."""
    body = json.dumps({"model": "m", "messages": [USER], **fields}).encode()
    return parse(ChatCompletionRequest, body, strict=strict).ignored


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("field", "near"),
    [
        ("temprature", "temperature"),
        ("max_token", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("max-tokens", "max_tokens"),
        ("Stream", "stream"),
        ("topp", "top_p"),
        ("top_l", "top_k"),
        ("messages2", "messages"),
        ("responce_format", "response_format"),
        ("tool_chioce", "tool_choice"),
    ],
)
def test_a_slip_is_refused_with_the_nearest_name(field: str, near: str, strict: bool) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        read({field: 1}, strict=strict)
    assert caught.value.param == field
    assert caught.value.message == f"Unknown parameter: '{field}'. Did you mean '{near}'?"


@pytest.mark.parametrize(
    "field",
    [
        "qqqqqqqq",
        "x_notes",
        "id",
        "N2",
        "prompt_cache_scope",
        "trace",
        "x",
        "",
        "ключ",
        "a.b",
        "a[0]",
    ],
)
def test_what_resembles_nothing_passes_and_is_told_unless_it_is_strict(field: str) -> None:
    assert read({field: {"any": ["thing"]}}) == (field.replace("[0]", "[]"),)
    with pytest.raises(UnknownParameterError) as caught:
        read({field: 1}, strict=True)
    assert caught.value.message == f"Unknown parameter: '{field}'."


def test_a_name_is_told_once_however_often_it_is_there() -> None:
    messages = [{**USER, "id": str(index), "at": index} for index in range(50)]
    assert read({"messages": messages, "session": 1}) == ("session", "messages[].id", "messages[].at")


def test_names_without_end_are_refused() -> None:
    assert len(read({f"qqqqqqqq{number:05}xxxx": 1 for number in range(64)})) == 64
    with pytest.raises(UnknownParameterError):
        read({f"qqqqqqqq{number:05}xxxx": 1 for number in range(65)})


def test_what_has_no_effect_is_no_part_of_the_request() -> None:
    part = {"type": "text", "text": "Hi", "extra": 1}
    body = json.dumps({"model": "m", "messages": [{**USER, "content": [part], "extra": 1}], "extra": 1})
    request = parse(ChatCompletionRequest, body.encode(), strict=False).request
    assert "extra" not in request.model_dump_json()


def test_a_misspelt_required_field_is_reported_as_misspelt() -> None:
    for strict in (False, True):
        with pytest.raises(UnknownParameterError, match=r"'mesages'\. Did you mean 'messages'"):
            parse(ChatCompletionRequest, b'{"model": "m", "mesages": []}', strict=strict)
        with pytest.raises(UnknownParameterError, match=r"'messages\[0\].contnt'. Did you mean 'content'"):
            read({"messages": [{"role": "user", "contnt": "Hi"}]}, strict=strict)
    with pytest.raises(InvalidRequestError, match=r"'messages\[0\].content' is required"):
        read({"messages": [{"role": "user", "words": "Hi"}]})
    with pytest.raises(UnknownParameterError, match=r"'messages\[0\].words'"):
        read({"messages": [{"role": "user", "words": "Hi"}]}, strict=True)


FUNCTION: dict[str, object] = {"type": "function", "function": {"name": "f"}}
SCHEMA: dict[str, object] = {"name": "x", "schema": {"type": "object"}}
FORMAT: dict[str, object] = {"type": "json_schema", "json_schema": SCHEMA}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("messages[1].extra", {"messages": [USER, {**USER, "extra": 1}]}),
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
        (
            "messages[0].tool_calls[0].function.extra",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "id": "1",
                                "type": "function",
                                "function": {"name": "f", "arguments": "", "extra": 1},
                            }
                        ],
                    }
                ]
            },
        ),
        ("tools[0].extra", {"tools": [{**FUNCTION, "extra": 1}]}),
        (
            "tools[1].function.extra",
            {"tools": [FUNCTION, {"type": "function", "function": {"name": "g", "extra": {}}}]},
        ),
        ("tool_choice.extra", {"tools": [FUNCTION], "tool_choice": {**FUNCTION, "extra": 1}}),
        ("response_format.extra", {"response_format": {**FORMAT, "extra": 1}}),
        ("response_format.extra", {"response_format": {"type": "text", "extra": 1}}),
        (
            "response_format.json_schema.extra",
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {**SCHEMA, "extra": 1},
                }
            },
        ),
        ("stream_options.extra", {"stream": True, "stream_options": {"extra": None}}),
        ("debug.extra", {"debug": {"extra": 1}}),
        ("<string>", {"<string>": 1}),
    ],
)
def test_unknown_fields_are_found_at_every_depth(path: str, fields: dict[str, object]) -> None:
    with pytest.raises(UnknownParameterError) as caught:
        read(fields, strict=True)
    assert caught.value.param == path
    assert read(fields) == (re.sub(r"\d+", "", path),)


@pytest.mark.parametrize(
    ("schema", "fields", "field", "routes"),
    [
        (ChatCompletionRequest, {"messages": [USER], "prompt": "x"}, "prompt", "text completions"),
        (ChatCompletionRequest, {"messages": [USER], "input": "x"}, "input", "responses"),
        (ChatCompletionRequest, {"messages": [USER], "echo": True}, "echo", "text completions"),
        (
            ChatCompletionRequest,
            {"messages": [USER], "max_output_tokens": 5},
            "max_output_tokens",
            "responses",
        ),
        (CompletionRequest, {"prompt": "x", "messages": [USER]}, "messages", "chat completions"),
        (CompletionRequest, {"prompt": "x", "tools": [FUNCTION]}, "tools", "chat completions"),
        (ResponseRequest, {"input": "x", "messages": [USER]}, "messages", "chat completions"),
        (ResponseRequest, {"input": "x", "response_format": FORMAT}, "response_format", "chat completions"),
        (EmbeddingRequest, {"input": "x", "temperature": 1}, "temperature", "chat completions, .* and "),
    ],
)
def test_fields_of_other_routes_are_refused_unless_they_say_nothing(
    schema: type[Schema], fields: dict[str, object], field: str, routes: str
) -> None:
    with pytest.raises(UnknownParameterError, match=f"'{field}'. It is a field of .*{routes}") as caught:
        parse(schema, json.dumps({"model": "m", **fields}).encode(), strict=False)
    assert caught.value.param == field
    assert (
        parse(schema, json.dumps({"model": "m", **fields, field: None}).encode(), strict=False).ignored == ()
    )


def test_one_answer_is_what_a_response_has() -> None:
    for name in ("n", "best_of"):
        body = json.dumps({"input": "x", name: 1}).encode()
        assert parse(ResponseRequest, body, strict=False).ignored == ()
        with pytest.raises(UnknownParameterError):
            parse(ResponseRequest, json.dumps({"input": "x", name: 2}).encode(), strict=False)


def test_a_field_of_other_messages_is_refused_unless_it_says_nothing() -> None:
    for strict in (False, True):
        with pytest.raises(UnknownParameterError) as caught:
            read({"messages": [{**USER, "tool_call_id": "x"}]}, strict=strict)
        assert caught.value.param == "messages[0].tool_call_id"
    assert read({"messages": [{**USER, "tool_call_id": None}]}) == ()


def test_bodies_of_chats_are_those_of_tokenizers_too() -> None:
    body = json.dumps({"messages": [USER], "temperature": 1, "response_format": FORMAT}).encode()
    assert parse(TokenizeRequest, body, strict=False).ignored == ("temperature", "response_format")


@pytest.mark.parametrize(
    ("field", "neutral", "asking"),
    [
        ("web_search_options", [None], [{}]),
        ("length_penalty", [None, 1, 1.0], [2, True]),
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
        for strict in (False, True):
            with pytest.raises(UnsupportedParameterError) as caught:
                read({field: value}, strict=strict)
            assert caught.value.param == field


def test_every_unsupported_field_passes_as_null_and_none_is_declared() -> None:
    top = [name for name in NEUTRAL_VALUES["chat"] if "." not in name]
    read(dict.fromkeys(top))
    assert not set(top) & set(ChatCompletionRequest.model_fields)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("messages[1].tool_calls", {"role": "user", "content": "x", "tool_calls": [{"id": "x"}]}),
        ("messages[1].audio", {"role": "assistant", "content": "x", "audio": {"id": "x"}}),
        (
            "messages[1].content[0].type",
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        ),
        ("messages[1].content[0].type", {"role": "developer", "content": [{"type": "input_audio"}]}),
        ("messages[1].content[0]", {"role": "user", "content": [{"type": "video_url", "video_url": "x"}]}),
    ],
)
def test_what_messages_cannot_hold_yet_is_refused_by_name(path: str, message: dict[str, object]) -> None:
    with pytest.raises(UnsupportedParameterError) as caught:
        read({"messages": [USER, message]})
    assert caught.value.param == path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 300}, "'temperature' must be from 0 to 100."),
        ({"max_time": 0}, "'max_time' must be greater than 0 and at most 86400."),
        ({"max_tokens": -2}, "'max_tokens' must be from -1 to 2147483647."),
        ({"max_tokens": 1.5}, "'max_tokens' must be an integer."),
        ({"temperature": "hot"}, "'temperature' must be a number."),
        ({"messages": []}, "'messages' must have at least 1 item."),
        ({"stop": 5}, "'stop' must be a string or an array of strings."),
        ({"bad_words": ["a", ""]}, "'bad_words[1]' must not be empty."),
        ({"model": 5}, "'model' must be a string."),
        ({"metadata": {"a" * 65: ""}}, "Each name in 'metadata' must have at most 64 characters."),
        ({"metadata": {"a": "b" * 513}}, "'metadata.a' must have at most 512 characters."),
    ],
)
def test_messages_are_one_clear_sentence(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read(fields)
    assert caught.value.message == message
