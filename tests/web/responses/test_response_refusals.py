"""Requests that `/v1/responses` refuses, each by the name of its field."""

from collections.abc import Iterator
from typing import Any

import pytest
from caravan.api.responses.compaction import sealed
from caravan.api.responses.to_chat import INCLUDABLE
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over

URL = "/v1/responses"
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
USER = {"role": "user", "content": "Hi"}
BAD = {"name": "no good"}


def space(*tools: dict[str, Any]) -> dict[str, Any]:
    """A namespace of tools."""
    return {"type": "namespace", "name": "x", "description": "All of x.", "tools": list(tools)}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARAVAN_RESPONSES_DB", "memory")
        with app_over(ScriptedEngine(context_size=4096)) as made:
            yield made


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"input": None}, "input", "invalid_type"),
    ({"input": []}, "input", "invalid_value"),
    ({"input": [{"type": "web_search_call"}]}, "input[0]", "unsupported_parameter"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input[0].content[0].image_url",
        "missing_required_parameter",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
        "input[0].content[0].file_id",
        "unsupported_parameter",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
        "input[0].content[0].image_url",
        "unsupported_parameter",
    ),
    (
        {"input": [{"role": "developer", "content": [{"type": "input_image", "image_url": "data:x"}]}]},
        "input[0].content[0]",
        "invalid_value",
    ),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role", "invalid_value"),
    ({"input": [{"role": "user", "content": "x", "phases": 1}]}, "input[0].phases", "unknown_parameter"),
    ({"input": [USER, CALL]}, "input[1]", "invalid_value"),
    ({"input": [USER, CALL, OUTPUT, OUTPUT]}, "input[3].call_id", "invalid_value"),
    ({"input": [{"id": "msg_none"}]}, "input[0].id", "item_not_found"),
    (
        {"input": [{"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}, USER]},
        "input[0].encrypted_content",
        "unsupported_parameter",
    ),
    ({"input": "x" * 5000}, "input", "context_length_exceeded"),
    ({"tools": [space({"type": "web_search"})]}, "tools[0].tools[0]", "unsupported_parameter"),
    ({"tools": [space(TOOL), space(TOOL)]}, "tools[1].tools[0].name", "invalid_value"),
    ({"tools": [space({**TOOL, "async": True})]}, "tools[0].tools[0].async", "unsupported_parameter"),
    (
        {"tools": [space(TOOL, {**TOOL, "name": "g", "parameters": {"type": "odd"}})]},
        "tools[0].tools[1].parameters.type",
        "invalid_value",
    ),
    (
        {"tools": [space(*({**TOOL, "name": f"f{n}"} for n in range(127))), TOOL, {**TOOL, "name": "g"}]},
        "tools",
        "invalid_value",
    ),
    (
        {"input": [{"type": "additional_tools", "role": "developer", "tools": [TOOL, TOOL | BAD]}, USER]},
        "input[0].tools[1].name",
        "invalid_value",
    ),
    (
        {"input": [{"type": "additional_tools", "role": "user", "tools": []}, USER]},
        "input[0].role",
        "invalid_value",
    ),
    (
        {"input": [{"type": "compaction", "encrypted_content": "gAAAAAB"}, USER]},
        "input[0].encrypted_content",
        "invalid_value",
    ),
    (
        {"input": [{"type": "compaction", "encrypted_content": sealed("x", "another")}, USER]},
        "input[0].encrypted_content",
        "invalid_value",
    ),
    ({"tools": [{"type": "wand"}]}, "tools[0]", "invalid_type"),
    ({"tools": [{**TOOL, "name": "no good"}]}, "tools[0].name", "invalid_value"),
    ({"tools": [{**TOOL, "async": True}]}, "tools[0].async", "unsupported_parameter"),
    ({"tools": [TOOL, TOOL]}, "tools[1].name", "invalid_value"),
    ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "tool_choice", "unsupported_parameter"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}},
        "tool_choice.name",
        "invalid_value",
    ),
    ({"tools": [{**TOOL, "parameters": {"type": "odd"}}]}, "tools[0].parameters.type", "invalid_value"),
    ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ({"temperature": 300}, "temperature", "invalid_value"),
    ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    ({"max_output_tokens": 2, "max_tokens": 3}, "max_tokens", "invalid_value"),
    ({"min_tokens": 9, "max_output_tokens": 2}, "min_tokens", "invalid_value"),
    ({"text": {"verbosity": "least"}}, "text.verbosity", "invalid_value"),
    ({"text": {"format": {"type": "xml"}}}, "text.format", "invalid_type"),
    (
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "odd"}}}},
        "text.format.schema",
        "invalid_constraint",
    ),
    ({"reasoning": {"summary": "long"}}, "reasoning.summary", "invalid_value"),
    ({"reasoning": {"mode": "pro"}}, "reasoning.mode", "unsupported_parameter"),
    (
        {"reasoning": {"effort": "low"}, "chat_template_kwargs": {"enable_thinking": False}},
        "reasoning.effort",
        "invalid_value",
    ),
    ({"include": ["file_search_call.everything"]}, "include[0]", "unsupported_parameter"),
    ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
    ({"truncation": "auto", "input": "x" * 5000}, "input", "context_length_exceeded"),
    ({"service_tier": "flex"}, "service_tier", "unsupported_parameter"),
    ({"conversation": 5}, "conversation", "invalid_type"),
    ({"conversation": {"id": 5}}, "conversation.id", "invalid_type"),
    ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "conversation", "invalid_value"),
    ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
    ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_parameter"),
    ({"stream_options": {"include_obfuscation": True}}, "stream_options", "invalid_value"),
    (
        {"stream": True, "stream_options": {"include_obfuscations": True}},
        "stream_options.include_obfuscations",
        "unknown_parameter",
    ),
    ({"background": True, "store": False}, "background", "invalid_value"),
    ({"previous_response_id": "resp_none"}, "previous_response_id", "previous_response_not_found"),
    ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "invalid_value"),
    ({"instruction": "x"}, "instruction", "unknown_parameter"),
    ({"n": 2}, "n", "unknown_parameter"),
]


@pytest.mark.parametrize(("fields", "param", "code"), REFUSED, ids=lambda value: str(value)[:60])
def test_it_is_refused_by_name(
    client: TestClient, fields: dict[str, Any], param: str | None, code: str
) -> None:
    for more in ({}, {"stream": True} if "stream_options" not in fields else {}):
        answer = client.post(URL, json={"model": "fake", "input": "Hi", **more, **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, param, code), error
        assert f"'{param}" in error["message"] or param in ("input", "input[0].id", "previous_response_id")
        assert "'messages" not in error["message"]
        assert "function.name" not in error["message"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=500", "limit"),
        ("order=up", "order"),
        ("after=none", "after"),
        ("include=message.input_image.everything", "include[0]"),
        ("limits=2", "limits"),
    ],
)
def test_odd_pages_are_refused(client: TestClient, query: str, param: str) -> None:
    made = client.post(URL, json={"model": "fake", "input": "Hi"}).json()
    answer = client.get(f"{URL}/{made['id']}/input_items?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("starting_after=1", "starting_after"),
        ("stream=yes", "stream"),
        ("stream=1", "stream"),
        ("stream=true&starting_after=x", "starting_after"),
        ("stream=true&starting_after=99999999999999999999", "starting_after"),
        ("include[0]=reasoning.encrypted_content&include[]=x", "include[1]"),
        ("modalities=audio", "modalities"),
        ("stream=true&starting_after=-1", "starting_after"),
        ("include_obfuscation=true", "include_obfuscation"),
    ],
)
def test_odd_retrievals_are_refused(client: TestClient, query: str, param: str) -> None:
    made = client.post(URL, json={"model": "fake", "input": "Hi"}).json()
    answer = client.get(f"{URL}/{made['id']}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_the_document_tells_types_and_bounds_of_query_parameters(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    kinds = {
        parameter["name"]: parameter["schema"]
        for path in ("/v1/responses/{response_id}", "/v1/responses/{response_id}/input_items")
        for parameter in paths[path]["get"]["parameters"]
        if parameter["in"] == "query"
    }
    assert kinds["limit"] == {"type": "integer", "minimum": 1, "maximum": 100}
    assert kinds["order"] == {"type": "string", "enum": ["asc", "desc"]}
    assert kinds["stream"] == kinds["include_obfuscation"] == {"type": "boolean"}
    assert (kinds["starting_after"]["minimum"], kinds["after"]) == (0, {"type": "string"})
    assert kinds["include"]["items"]["enum"] == list(INCLUDABLE)
