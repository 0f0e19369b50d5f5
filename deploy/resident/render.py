"""Samples as text: chats through the shipped template, the rest with its special tokens."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from deploy.resident.data.samples import Chat, Infill, Message, Plain, Sample

TEMPLATE = Path(__file__).with_name("chat_template.jinja")

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
FIM_PREFIX = "<|fim_prefix|>"
FIM_SUFFIX = "<|fim_suffix|>"
FIM_MIDDLE = "<|fim_middle|>"
CONTROL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)
VISIBLE_TOKENS = ("<think>", "</think>", "<tool_call>", "</tool_call>")

ANSWER_START = f"{TURN_START}assistant\n"
NO_THOUGHT = "<think>\n\n</think>\n\n"


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _to_json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False)


def template_of(source: str) -> Template:
    """The template in the sandbox, and with the settings, that serve it."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


@cache
def _template() -> Template:
    return template_of(TEMPLATE.read_text(encoding="utf-8"))


def render_chat(messages: list[Message], tools: list[dict[str, Any]] | None = None, **variables: bool) -> str:
    """The chat as the server would render it."""
    return _template().render(messages=messages, tools=tools or None, **variables)


def render(sample: Sample) -> str:
    """The whole text of a training sample."""
    match sample:
        case Chat(messages, tools):
            return render_chat(messages, tools).rstrip("\n")
        case Plain(text):
            return text + END_OF_TEXT
        case Infill(prefix, middle, suffix):
            return f"{FIM_PREFIX}{prefix}{FIM_SUFFIX}{suffix}{FIM_MIDDLE}{middle}{END_OF_TEXT}"


def trained_spans(text: str) -> list[tuple[int, int]]:
    """Where the model speaks: the ranges of characters whose tokens are learned, each of them."""
    if text.startswith(FIM_PREFIX):
        return [(text.index(FIM_MIDDLE) + len(FIM_MIDDLE), len(text))]
    if TURN_START not in text:
        return [(0, len(text))]
    spans = []
    at = text.find(ANSWER_START)
    while at >= 0:
        start = at + len(ANSWER_START)
        if text.startswith(NO_THOUGHT, start):
            start += len(NO_THOUGHT)
        end = text.index(TURN_END, start) + len(TURN_END)
        spans.append((start, end))
        at = text.find(ANSWER_START, end)
    return spans


def supplied_spans(text: str) -> list[tuple[int, int]]:
    """The empty thoughts: the prompt supplies them, and the model must never learn to choose them."""
    return [match.span() for match in re.finditer(re.escape(ANSWER_START + NO_THOUGHT), text)]
