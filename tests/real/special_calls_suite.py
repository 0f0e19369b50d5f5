"""The real chat templates: calls that they show in a shape of their own, and thoughts without tags."""

import json
from typing import Any

import pytest
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan_schemas.chat import ConversationFields

from tests.chat.transcripts import Answer, joined
from tests.real import template_models

TEXT = {"type": "string", "description": "Some text."}
FUNCTIONARY = ["meetkai-functionary-medium-v3.1", "meetkai-functionary-medium-v3.2"]
LLAMA = ["meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.3-70B-Instruct"]
COMMAND_R = "CohereForAI-c4ai-command-r-plus-tool_use"
HEADS = ["assistant<|end_header_id|>\n\n>>>", "assistant<|end_header_id|>\n\n", "<|CHATBOT_TOKEN|>"]
CODE = 'x = {"a": 1}\nprint(x["a"], \'<b>\')'
# The template, the call, and the template's own variables.
SHOWN: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    *((name, "python", {"code": CODE}, {}) for name in FUNCTIONARY),
    *(
        (name, tool, {"query": query}, {"builtin_tools": ["brave_search", "wolfram_alpha"]})
        for name in LLAMA
        for tool, query in (("brave_search", "bees and wasps"), ("wolfram_alpha", 'what is "e" (roughly)'))
    ),
    (COMMAND_R, "find", {"query": "bees"}, {}),
]


def tool_of(name: str, keys: list[str]) -> ToolSpec:
    schema = {"type": "object", "properties": dict.fromkeys(keys, TEXT), "required": keys}
    return ToolSpec(name, schema)


def shown(name: str, tool: ToolSpec, arguments: dict[str, str], variables: dict[str, Any]) -> str:
    """What a template writes of an answer that is a call."""
    function = {"name": tool.name, "description": "A tool.", "parameters": tool.parameters}
    call = {"name": tool.name, "arguments": json.dumps(arguments)}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "QUESTION"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "abcdefgh0", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "abcdefgh0", "content": "RESULT"},
    ]
    request: dict[str, Any] = {"messages": messages, "tools": [{"type": "function", "function": function}]}
    if variables:
        request["chat_template_kwargs"] = variables
    prompt = template_models.prompt(name, ConversationFields.model_validate(request))
    opening = prompt.rpartition("RESULT")[2]
    # The mark of Functionary 3.2 belongs to the prompt.
    head = next(mark for mark in HEADS if mark in opening)
    return prompt.rpartition("QUESTION")[2].partition(head)[2].partition("<|e")[0].partition("<|START")[0]


def read(name: str, text: str, tools: list[ToolSpec], *, is_open: bool = False) -> Answer:
    parser = template_models.model(name).family.parser(tools, is_open=is_open)
    return joined([*parser.feed(text), *parser.finish()])


@pytest.mark.parametrize(("name", "tool", "arguments", "variables"), SHOWN, ids=lambda value: str(value)[:40])
def test_the_call_that_is_shown_is_the_call_that_is_read(
    name: str, tool: str, arguments: dict[str, str], variables: dict[str, Any]
) -> None:
    spec = tool_of(tool, list(arguments))
    text = shown(name, spec, arguments, variables)
    assert not variables or f"<|python_tag|>{tool}.call(" in text
    answer = read(name, text, [spec])
    assert [(call, json.loads(found)) for call, _, found in answer.calls] == [(tool, arguments)]


@pytest.mark.parametrize("name", [*FUNCTIONARY, *LLAMA])
def test_code_alone_is_a_call_of_python(name: str) -> None:
    text = f"python\n{CODE}" if name == FUNCTIONARY[1] else f"<|python_tag|>{CODE}"
    answer = read(name, text, [tool_of("python", ["code"]), tool_of("find", ["query"])])
    assert [(call, json.loads(found)) for call, _, found in answer.calls] == [("python", {"code": CODE})]
    assert answer.content == ""


def test_the_tool_that_is_none_is_neither_a_call_nor_text() -> None:
    assert "`directly-answer`" in template_models.source(COMMAND_R)
    for tool in ("directly-answer", "directly_answer"):
        # In the very shape of calls that the template shows.
        text = shown(COMMAND_R, tool_of("find", []), {}, {}).replace('"find"', f'"{tool}"')
        answer = read(COMMAND_R, f"{text}\nAnswer: Noon.", [tool_of("find", ["query"])])
        assert (answer.content, answer.calls) == ("Noon.", [])


@pytest.mark.parametrize("name", ["Apriel-1.6-15b-Thinker-fixed", "unsloth-Apriel-1.5"])
def test_thoughts_end_where_the_answer_is_announced(name: str) -> None:
    asked = ConversationFields.model_validate({"messages": [{"role": "user", "content": "QUESTION"}]})
    family, prompt = template_models.model(name).family, template_models.prompt(name, asked)
    is_open = family.is_open(prompt)
    assert is_open == prompt.rstrip().endswith("Here are my reasoning steps:")
    head = "" if is_open else "Here are my reasoning steps:\n"
    calls = '<tool_calls>[{"name": "find", "arguments": {"query": "bees"}}]</tool_calls>'
    for said, content, num_calls in (
        ("It is noon.", "It is noon.", 0),
        ("It is noon.\n[END FINAL RESPONSE]", "It is noon.", 0),
        (f"\n{calls}", "", 1),
    ):
        text = f"{head}I look.\nTwice.\n[BEGIN FINAL RESPONSE]\n{said}"
        answer = read(name, text, [tool_of("find", ["query"])], is_open=is_open)
        assert (answer.reasoning, answer.content) == ("I look.\nTwice.", content)
        assert len(answer.calls) == num_calls
