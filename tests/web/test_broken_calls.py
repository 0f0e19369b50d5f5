"""A call whose arguments break what binds them never ends as a call, whatever format and route it comes in.

The scripted engine pays no heed to constraints; it writes what it is told to, and stops.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.custom_grammars import ARITHMETIC, EXAMPLES
from tests.fakes_web import ScriptedEngine
from tests.responses_contract import events_of
from tests.web.chat_models import HERMES, app_over
from tests.web.responding import say
from tests.web.routes.test_chat import URL, body

Arguments = list[tuple[str, str]]
STRING = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "s": {**STRING, "pattern": "^[a-z]+$"},
        "n": {"type": "integer", "maximum": 9},
        "o": {"type": "object", "patternProperties": {"^x": {"type": "null"}}},
    },
    "required": ["s"],
    "additionalProperties": False,
}
STRICT: dict[str, Any] = {
    **SCHEMA,
    "properties": {"s": SCHEMA["properties"]["s"], "n": SCHEMA["properties"]["n"]},
    "required": ["s", "n"],
}
LAX_TOOL = {"name": "f", "parameters": SCHEMA}
STRICT_TOOL = {"name": "f", "parameters": STRICT, "strict": True}
OPEN_TOOL = {"name": "f", "parameters": {"type": "object"}}


def text_of(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value


def in_json(*arguments: Arguments) -> str:
    calls = ["{" + ", ".join(f'"{name}": {value}' for name, value in one) + "}" for one in arguments]
    return "\n".join(f'<tool_call>\n{{"name": "f", "arguments": {call}}}\n</tool_call>' for call in calls)


def in_xml(*arguments: Arguments) -> str:
    calls = [
        "".join(f"<parameter={name}>\n{text_of(value)}\n</parameter>\n" for name, value in one)
        for one in arguments
    ]
    return "\n".join(f"<tool_call>\n<function=f>\n{call}</function>\n</tool_call>" for call in calls)


def in_python(*arguments: Arguments) -> str:
    calls = [f"f({', '.join(f'{name}={value}' for name, value in one)})" for one in arguments]
    return f"[{', '.join(calls)}]"


def in_gemma(*arguments: Arguments) -> str:
    def quoted(value: str) -> str:
        return f'<|"|>{text_of(value)}<|"|>' if value.startswith('"') else value

    calls = [f"{{{','.join(f'{name}:{quoted(value)}' for name, value in one)}}}" for one in arguments]
    return "".join(f"<|tool_call>call:f{call}<tool_call|>" for call in calls)


FORMATS: dict[str, tuple[str, Callable[..., str]]] = {
    "json": (HERMES, in_json),
    "xml": (HERMES.replace("<tool_call>", "<tool_call><function=<parameter="), in_xml),
    "python": (HERMES.replace("<tool_call>", "<|python_start|>").replace("</tool_call>", ""), in_python),
    "gemma": (HERMES.replace("<tool_call>", '<|tool_call><|"|>').replace("</tool_call>", ""), in_gemma),
}
RIGHT: list[tuple[dict[str, Any], Arguments]] = [
    (LAX_TOOL, [("s", '"abc"')]),
    (LAX_TOOL, [("s", '"abc"'), ("n", "-3"), ("o", '{"y": 1, "x": null}')]),
    (STRICT_TOOL, [("s", '"abc"'), ("n", "9")]),
    (OPEN_TOOL, [("a", "1"), ("b", '{"a": [{"a": 1}, {"a": 2}]}')]),
]
WRONG: list[tuple[dict[str, Any], Arguments]] = [
    (LAX_TOOL, [("s", '"ABC"')]),
    (LAX_TOOL, [("n", "1")]),
    (LAX_TOOL, [("s", '"abc"'), ("n", "10")]),
    (LAX_TOOL, [("s", '"abc"'), ("z", "10")]),
    (LAX_TOOL, [("s", '"abc"'), ("o", '{"x": 1}')]),
    (STRICT_TOOL, [("s", '"Abc"'), ("n", "9")]),
    (STRICT_TOOL, [("s", '"abc"')]),
]
CASES = [*((*case, True) for case in RIGHT), *((*case, False) for case in WRONG)]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


def pieces(text: str, size: int = 5) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def chat_end(client: TestClient, **fields: Any) -> tuple[str | None, str | None]:  # noqa: ANN401
    """The finish reason of an answer, and the code of its error."""
    answer = client.post(URL, json=body(max_tokens=None, **fields))
    if not fields["stream"]:
        if answer.status_code != 200:
            return None, answer.json()["error"]["code"]
        return answer.json()["choices"][0]["finish_reason"], None
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    reasons = [choice["finish_reason"] for event in told for choice in event.get("choices", ())]
    code = next((event["error"]["code"] for event in told if event.get("error")), None)
    assert ("data: [DONE]" in answer.text) == (code is None)
    return next(filter(None, reasons), None), code


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("tool", "arguments", "is_right"), CASES, ids=lambda value: str(value)[-60:])
def test_chat_completions_tell(
    engine: ScriptedEngine,
    form: str,
    tool: dict[str, Any],
    arguments: Arguments,
    *,
    is_right: bool,
    stream: bool,
) -> None:
    template, write = FORMATS[form]
    say(engine, *pieces(write(arguments)))
    with app_over(engine, template) as client:
        told = chat_end(client, tools=[{"type": "function", "function": tool}], stream=stream)
    assert told == (("tool_calls", None) if is_right else (None, "constraint_broken"))


@pytest.mark.parametrize("form", FORMATS)
def test_a_response_tells_before_a_call_is_done(engine: ScriptedEngine, form: str) -> None:
    """The first of two calls, whose end the second shows, and the last."""
    template, write = FORMATS[form]
    good, bad = [("s", '"abc"')], [("s", '"ABC"')]
    with app_over(engine, template) as client:
        for calls, num_done in (([good, good], 2), ([bad, good], 0), ([good, bad], 1)):
            say(engine, *pieces(write(*calls)))
            asked = {"model": "fake", "input": "Hi", "tools": [{"type": "function", **LAX_TOOL}]}
            events = events_of(client.post("/v1/responses", json={**asked, "stream": True}).text)
            done = [event for event in events if event["type"] == "response.function_call_arguments.done"]
            assert [event["arguments"] for event in done] == ['{"s": "abc"}'] * num_done
            is_right = bad not in calls
            assert events[-1]["type"] == ("response.completed" if is_right else "response.failed")
            whole = client.post("/v1/responses", json=asked)
            assert whole.status_code == (200 if is_right else 500)
            assert is_right or whole.json()["error"]["code"] == "constraint_broken"


INPUTS = [
    ("lark", ARITHMETIC, EXAMPLES[ARITHMETIC][1], True),
    ("lark", ARITHMETIC, "1 + + 2", False),
    ("regex", "[0-9]{2}", "12", True),
    ("regex", "[0-9]{2}", "123", False),
    ("regex", "^(a+)+$", "a" * 200 + "!", False),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("syntax", "definition", "text", "is_right"), INPUTS)
def test_the_input_of_a_custom_tool_is_judged(
    engine: ScriptedEngine, syntax: str, definition: str, text: str, *, is_right: bool, stream: bool
) -> None:
    grammar = {"syntax": syntax, "definition": definition}
    tool = {"name": "f", "format": {"type": "grammar", "grammar": grammar}}
    say(engine, *pieces(in_json([("input", json.dumps(text))])))
    with app_over(engine) as client:
        told = chat_end(client, tools=[{"type": "custom", "custom": tool}], stream=stream)
    assert told == (("tool_calls", None) if is_right else (None, "constraint_broken"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_not_finished_is_no_end(engine: ScriptedEngine, *, stream: bool) -> None:
    whole = in_json([("input", '"abcdef"')])
    custom = {"type": "custom", "custom": {"name": "f"}}
    with app_over(engine) as client:
        for tool, size in ((custom, -25), ({"type": "function", "function": OPEN_TOOL}, -25)):
            say(engine, *pieces(whole[:size]))
            assert chat_end(client, tools=[tool], stream=stream) == (None, "constraint_broken")


def test_what_the_request_has_cut_short_is_not_judged(engine: ScriptedEngine) -> None:
    tools = [{"type": "function", "function": LAX_TOOL}]
    whole = in_json([("s", '"ABC"')])
    with app_over(engine) as client:
        say(engine, *pieces(whole, 20))
        cut = client.post(URL, json=body(tools=tools, max_tokens=3)).json()["choices"][0]
        assert cut["finish_reason"] == "length"
        for fields in ({"stop_token_ids": [7]}, {"stop": ["x"]}):
            say(engine, *pieces(whole))
            assert chat_end(client, tools=tools, stream=False, **fields) == (None, "constraint_broken")
            say(engine, *pieces(whole[:-25]))
            assert chat_end(client, tools=tools, stream=False, **fields) == ("stop", None)
