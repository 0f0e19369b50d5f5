"""Parsers of all formats: what they find, however the text is split, and wherever it is cut off."""

import itertools
import json

import pytest
from caravan.chat.families import ModelFamily
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta
from caravan.chat.tool_formats.registry import FORMATS
from hypothesis import given
from hypothesis import strategies as st

from tests.chat.transcripts import TOOLS, TRANSCRIPTS, Transcript, parsed

BOUND = [transcript for transcript in TRANSCRIPTS if not transcript.unbound_only]
HERMES = ModelFamily(None, FORMATS["hermes"])


def test_there_are_transcripts_of_every_format() -> None:
    assert {transcript.format for transcript in TRANSCRIPTS} == set(FORMATS)


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_what_is_found(transcript: Transcript) -> None:
    answer = parsed(transcript.family, [transcript.text], is_open=transcript.is_open)
    assert answer.reasoning == transcript.reasoning
    assert answer.content == transcript.content
    expected = [(call["name"], call.get("id"), call["arguments"]) for call in transcript.calls]
    assert [(name, call_id, json.loads(text)) for name, call_id, text in answer.calls] == expected


@pytest.mark.parametrize("transcript", BOUND, ids=str)
def test_bound_calls_are_the_same(transcript: Transcript) -> None:
    answer = parsed(transcript.family, [transcript.text], is_open=transcript.is_open)
    bound = parsed(transcript.family, [transcript.text], is_open=transcript.is_open, bound=True)
    assert (bound.reasoning, bound.content) == (answer.reasoning, answer.content)
    # An id that comes last is too late for a call that was told at once.
    assert [(name, text) for name, _, text in bound.calls] == [(name, text) for name, _, text in answer.calls]


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_wherever_it_is_cut_off_the_split_does_not_matter(transcript: Transcript, bound: bool) -> None:
    for end in range(len(transcript.text) + 1):
        text = transcript.text[:end]
        whole = parsed(transcript.family, [text], is_open=transcript.is_open, bound=bound)
        halves = [text[: end // 2], text[end // 2 :]]
        assert parsed(transcript.family, halves, is_open=transcript.is_open, bound=bound) == whole
        for _, _, arguments in whole.calls:
            assert bound or isinstance(json.loads(arguments), dict)


@pytest.mark.parametrize("transcript", [one for one in TRANSCRIPTS if one.grammar], ids=str)
def test_no_piece_of_a_bound_call_is_content(transcript: Transcript) -> None:
    text = transcript.text
    thought_end = text.rfind(transcript.markers[1]) if transcript.markers else 0
    triggers = transcript.family.tools.announcements(TOOLS)
    found = [(text.find(mark, max(thought_end, 0)), mark) for mark in triggers]
    start, trigger = min(((at, mark) for at, mark in found if at >= 0), default=(0, ""))
    for end in range(start + len(trigger), len(text)) if trigger else ():
        answer = parsed(transcript.family, [text[:end]], is_open=transcript.is_open, bound=True)
        assert answer.content == transcript.content


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_character_by_character(transcript: Transcript) -> None:
    whole = parsed(transcript.family, [transcript.text], is_open=transcript.is_open)
    assert parsed(transcript.family, list(transcript.text), is_open=transcript.is_open) == whole


@given(st.sampled_from(TRANSCRIPTS), st.lists(st.integers(0, 400)), st.booleans())
def test_any_split_gives_the_same(transcript: Transcript, cuts: list[int], bound: bool) -> None:
    text = transcript.text
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    whole = parsed(transcript.family, [text], is_open=transcript.is_open, bound=bound)
    assert parsed(transcript.family, pieces, is_open=transcript.is_open, bound=bound) == whole


PIECES = [
    *{marker for form in FORMATS.values() for marker in form.markers},
    *("{", "}", "[", "]", "(", ")", ":", ",", '"', "'", "\\", "=", ">", "\n", " ", "x", "5", "-", "true"),
    *("now", "call:", '{"name": "now"', '"arguments": ', "functions.now:0", "<function=", "to=functions."),
    *("<think>", "</think>", "<parameter=a>", "</parameter>", "</function>", "now()", "[now("),
]


@given(st.sampled_from(sorted(FORMATS)), st.lists(st.sampled_from(PIECES)), st.booleans())
def test_any_text_gives_whole_calls_and_loses_nothing_to_the_split(
    form: str, pieces: list[str], bound: bool
) -> None:
    family = ModelFamily(None, FORMATS[form])
    text = "".join(pieces)
    whole = parsed(family, [text], bound=bound)
    assert parsed(family, list(text), bound=bound) == whole
    assert bound or all(isinstance(json.loads(call[2]), dict) for call in whole.calls)


def test_bound_arguments_come_as_they_are_written() -> None:
    parser = HERMES.parser(TOOLS, bound=True)
    assert parser.feed('<tool_call>\n{"name": "note", "arg') == []
    assert parser.feed('uments": {"te') == [CallStart(0, "note"), CallArguments(0, '{"te')]
    assert parser.feed('xt": "a') == [CallArguments(0, 'xt": "a')]
    assert parser.finish() == []


def test_unbound_calls_come_when_they_are_whole() -> None:
    parser = HERMES.parser(TOOLS)
    assert parser.feed('Hi \n<tool_call>{"name": "note", "arguments": {') == [Delta(Channel.CONTENT, "Hi")]
    assert parser.feed("}") == []
    assert parser.feed("}") == [CallStart(0, "note"), CallArguments(0, "{}")]


def test_without_tools_there_are_no_calls() -> None:
    text = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    parser = HERMES.parser()
    assert parser.feed(text) + parser.finish() == [Delta(Channel.CONTENT, text)]


@pytest.mark.parametrize(
    ("form", "start", "repeated"),
    [
        ("hermes", "", "<tool_call>"),
        ("hermes", "", " "),
        ("hermes", "", '<tool_call>{"name": "now", "arguments": {}}'),
        ("hermes", '<tool_call>{"name": "note", "arguments": {"text": "', "text\\n"),
        ("hermes", '<tool_call>{"name": "note", "arguments": {"text": ', '["deeper than any stack is", '),
        ("pythonic", "", "[now("),
        ("qwen_coder", "<tool_call><function=note><parameter=text>", "</parameter"),
        ("glm", "<tool_call>note<arg_key>", "</arg_key"),
        ("harmony", "", "<|channel|>analysis"),
        ("deepseek_v3", "", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"),
    ],
)
def test_a_megabyte_is_no_trouble(form: str, start: str, repeated: str) -> None:
    # Work that grows with the square of the length would take hours.
    text = start + repeated * (1_000_000 // len(repeated))
    pieces = [text[at : at + 100] for at in range(0, len(text), 100)]
    answer = parsed(ModelFamily(None, FORMATS[form]), pieces)
    assert answer.calls or answer.content or form == "harmony"
