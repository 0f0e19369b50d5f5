"""Grammars of all formats: they accept what models write, and all they can write are valid calls."""

import json
import random
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from caravan.chat.families import ModelFamily
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.registry import FORMATS
from caravan.chat.tool_formats.tool_spec import ToolSpec, custom_tool
from caravan.errors import InvalidRequestError
from llguidance import LLMatcher, LLTokenizer

from tests.chat.transcripts import TOOLS, TRANSCRIPTS, Answer, Transcript, joined

BYTES = LLTokenizer("byte")
SCHEMAS = {tool.name: dict(tool.parameters) for tool in TOOLS}
ENDS = [
    b"<|tool_calls_section_end|>",
    b"\n</parameter>",
    b"</parameter>",
    "</｜DSML｜parameter>".encode(),
    b"</arg_value>",
    b'<|"|>',
    b"<escape>",
    b"]]></param>",
    b"</param>",
    b"</arg_value:opensource>",
    b"<|close|>argument<|sep|>",
    b"</atem:parameter>",
    b"]<]minimax[>[</",
    b'"',
    b"}",
    b"]",
    b")",
]
WRITTEN = [transcript for transcript in TRANSCRIPTS if transcript.grammar]


def matcher(grammar: str) -> LLMatcher:
    made = LLMatcher(BYTES, grammar + '\n%llguidance {"no_forcing": true}\n', log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def accepts(grammar: str, text: str) -> bool:
    data = list(text.encode())
    made = matcher(grammar)
    return bool(made.try_consume_tokens(data) == len(data) and made.is_accepting())


def walked(grammar: str, seed: int, length: int = 300) -> str:
    """Some text of a grammar: random bytes at first, and what ends something once the text is long."""
    made, source = matcher(grammar), random.Random(seed)
    # Ends that begin alike and are not this grammar's lead astray.
    ends = [
        end for end in ENDS if len(end) == 1 or json.dumps(end.decode(), ensure_ascii=False)[1:-1] in grammar
    ]
    data = bytearray()
    while not made.is_stopped() and len(data) < 10 * length:
        mask = made.compute_bitmask()
        allowed = [byte for byte in range(256) if mask[byte // 8] >> byte % 8 & 1]
        is_long = len(data) > length
        if made.is_accepting() and (not allowed or is_long or source.random() < 0.3):
            break
        assert allowed, made.get_error()
        byte = chosen(source, data, allowed, ends, is_ending=is_long or source.random() < 0.2)
        data.append(byte)
        assert made.consume_token(byte)
    assert made.is_accepting(), data
    return data.decode()


def chosen(
    source: random.Random, data: bytearray, allowed: list[int], ends: list[bytes], *, is_ending: bool
) -> int:
    following = [
        (size, source.random(), end[size])
        for end in ends
        for size in range(len(end))
        if end[size] in allowed and data.endswith(end[:size])
    ]
    size, _, byte = max(following, default=(0, 0.0, 0))
    if size > 2 or (is_ending and following):
        return byte
    choices = [byte for byte in allowed if 31 < byte < 127] or allowed
    if is_ending:
        choices = [byte for byte in allowed if not chr(byte).isalnum() and byte < 127] or choices
    return source.choice(choices)


def read(form: str, text: str, tools: Sequence[ToolSpec] = TOOLS) -> Answer:
    parser = ModelFamily(None, FORMATS[form]).parser(tools)
    return joined([*parser.feed(text), *parser.finish()])


@pytest.mark.parametrize("transcript", WRITTEN, ids=str)
def test_what_models_write_is_accepted(transcript: Transcript) -> None:
    text = transcript.text.rstrip()
    form = FORMATS[transcript.format]
    thought_end = text.rfind(transcript.markers[1]) if transcript.markers else 0
    starts = [text.find(trigger, max(thought_end, 0)) for trigger in form.triggers]
    start = min((at for at in starts if at >= 0), default=0)
    grammars = [form.grammar(TOOLS, parallel=True, is_free=is_free) for is_free in (False, True)]
    assert any(accepts(grammar, text[start:]) for grammar in grammars)


def test_every_format_has_such_a_text() -> None:
    assert {transcript.format for transcript in WRITTEN} == set(FORMATS)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", FORMATS)
def test_all_that_can_be_written_are_valid_calls(form: str, seed: int) -> None:
    text = walked(FORMATS[form].grammar(TOOLS, parallel=seed % 2 == 0), seed)
    answer = read(form, text)
    assert answer.content == ""
    assert answer.calls
    assert seed % 2 == 0 or len(answer.calls) == 1
    for name, _, arguments in answer.calls:
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])


HARD: dict[str, Any] = {
    "type": "object",
    "$defs": {"size": {"type": "string", "enum": ["s", "XL", 'a "b" </parameter'], "description": "x"}},
    "properties": {
        "a": {"$ref": "#/$defs/size"},
        "b": {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "null"}]},
        "c": {"type": "array", "items": {"$ref": "#/$defs/size"}, "minItems": 1, "maxItems": 2},
        "d": {"const": "fixed"},
        "e": {"type": "string", "maxLength": 5, "minLength": 2},
        "f": {"type": "string", "pattern": "^(?:[a-c]/[0-9]{2})$"},
        "g": {"type": "object", "properties": {"h": {"type": "array", "items": {"type": "boolean"}}}},
        "i": {"type": "number"},
    },
    "required": ["b", "d", "z"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMATS)
def test_schemas_hold_in_all_formats(form: str, seed: int) -> None:
    schema = {**HARD, "properties": {**HARD["properties"], "z": {"type": "boolean"}}}
    tools = [ToolSpec("f", schema, strict=True)]
    ((name, _, arguments),) = read(
        form, walked(FORMATS[form].grammar(tools, parallel=False), seed), tools
    ).calls
    assert name == "f"
    jsonschema.validate(json.loads(arguments), schema)


@pytest.mark.parametrize("form", FORMATS)
def test_tools_without_a_schema_take_any_object(form: str) -> None:
    for tool in (ToolSpec("f"), ToolSpec("f", {})):
        for seed in range(2):
            text = walked(FORMATS[form].grammar([tool], parallel=False), seed, 100)
            (call,) = read(form, text, [tool]).calls
            assert isinstance(json.loads(call[2]), dict)


@pytest.mark.parametrize("form", FORMATS)
def test_custom_tools_take_one_text(form: str) -> None:
    tool = custom_tool("f", "[a-c]+/[0-9]")
    (call,) = read(form, walked(FORMATS[form].grammar([tool], parallel=False), 1, 100), [tool]).calls
    assert json.loads(call[2])["input"].split("/")[1].isdecimal()


@pytest.mark.parametrize("form", FORMATS)
def test_markers_that_are_tokens_are_named_by_id(form: str) -> None:
    markers = {marker: 1000 + at for at, marker in enumerate(FORMATS[form].markers)}
    grammar = FORMATS[form].grammar(TOOLS, parallel=True, marker_ids=markers)
    is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar, None)
    assert not is_error, messages
    used = [marker for marker, token in markers.items() if f"<[{token}]>" in grammar]
    assert used or FORMATS[form].is_bare or not markers


def test_text_that_ends_with_a_token() -> None:
    lark = LarkWriter({"</arg_value>": 7})
    grammar = lark.finish(lark.until("</arg_value>"))
    made = matcher(grammar)
    assert made.try_consume_tokens(list(b"ab</arg_value")) == 13
    assert not made.compute_bitmask()[ord(">") // 8] >> ord(">") % 8 & 1
    assert made.try_consume_tokens([7]) == 1
    assert made.is_accepting()


@pytest.mark.parametrize("transcript", [one for one in WRITTEN if "｜DSML｜" in one.text], ids=str)
def test_tags_that_hold_a_token(transcript: Transcript) -> None:
    form, token_id = FORMATS[transcript.format], 7
    made = matcher(form.grammar(TOOLS, parallel=True, marker_ids={"｜DSML｜": token_id}))
    text = transcript.text[transcript.text.index(form.triggers[0]) :]
    first, *rest = (list(part.encode()) for part in text.split("｜DSML｜"))
    data = [*first, *(byte for part in rest for byte in (token_id, *part))]
    assert made.try_consume_tokens(data) == len(data)
    assert made.is_accepting()


def test_what_plain_text_cannot_promise_is_refused() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
    strict, loose = ToolSpec("f", schema, strict=True), ToolSpec("f", schema)
    with pytest.raises(InvalidRequestError, match="'day'") as caught:
        FORMATS["qwen_coder"].grammar([strict], parallel=True)
    assert caught.value.param == "tools"
    matcher(FORMATS["qwen_coder"].grammar([loose], parallel=True))
    matcher(FORMATS["hermes"].grammar([strict], parallel=True))


BARE = [name for name, form in FORMATS.items() if form.is_bare]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("form", BARE)
def test_bare_calls_that_were_not_asked_for(form: str, seed: int) -> None:
    grammar = FORMATS[form].grammar(TOOLS, parallel=seed % 2 == 0, is_free=True)
    text = walked(grammar, seed)
    whole = bound(form, [text])
    assert whole.content == ""
    assert whole.calls
    assert seed % 2 == 0 or len(whole.calls) == 1
    for name, _, arguments in whole.calls:
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])
    assert bound(form, list(text)) == whole


@pytest.mark.parametrize("form", BARE)
def test_what_models_write_may_come_unasked(form: str) -> None:
    for transcript in WRITTEN:
        if transcript.format == form and not transcript.markers:
            assert accepts(FORMATS[form].grammar(TOOLS, parallel=True, is_free=True), transcript.text.strip())


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{"arguments": {"city": 5}, "name": "get_weather"}'),
        ("json", '{"name": "John", "arguments": {}}'),
        ("llama3_json", '{"id": "x", "name": "get_weather", "parameters": {}}'),
        ("llama3_json", '{"name": "get_wea'),
        ("pythonic", "[get(x=1)]"),
        ("pythonic", "[get_weather"),
    ],
)
def test_what_no_grammar_has_bound_is_content(form: str, text: str) -> None:
    assert bound(form, [text]) == bound(form, list(text)) == Answer(content=text)


def bound(form: str, pieces: Sequence[str]) -> Answer:
    parser = ModelFamily(None, FORMATS[form]).parser(TOOLS, bound=True)
    return joined([event for piece in pieces for event in parser.feed(piece)] + parser.finish())
