"""Whatever is wrong with a request to `/v1/responses`, the answer speaks of this route's own fields. Each
field is broken in turn: in types, in bounds and in what it means beside the others.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from caravan.errors import ConstraintFailedError
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.responses import ResponseRequest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import events_of
from tests.web.chat_models import app_over

URL = "/v1/responses"
OWN = set(ResponseRequest.model_fields)
OTHERS = (set(ChatCompletionRequest.model_fields) | set(CompletionRequest.model_fields)) - OWN
# An item's type here.
OTHERS -= {"function_call"}
# How chat completions nest what is flat here.
NESTED = re.compile(
    r"\.function\b|\.custom\b|json_schema\.|allowed_tools\.|\.grammar\.|\.tool_calls|^messages"
)
TYPES: tuple[Any, ...] = (
    -(10**12),
    10**12,
    1.5,
    "",
    "odd",
    "x" * 2000,
    True,
    [],
    [None],
    {},
    {"odd": 1},
    [[]],
)
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
CUSTOM = {
    "type": "custom",
    "name": "c",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: a"},
}
SPACE = {"type": "namespace", "name": "space", "tools": [TOOL, CUSTOM]}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
USER = {"role": "user", "content": "Hi"}
ODD_SCHEMA: dict[str, Any] = {"type": "odd"}


def schema_format(schema: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "x", "schema": schema, **more}}


# Each is well formed, and is refused when it has become a chat, or before.
MEANINGS: tuple[dict[str, Any], ...] = (
    *({name: 0} for name in ("max_output_tokens", "max_tokens", "max_completion_tokens", "n_predict")),
    {"max_output_tokens": 2, "n_predict": 3},
    *({name: 2, "min_tokens": 9} for name in ("max_output_tokens", "max_tokens", "n_predict")),
    {"input": "x" * 9000},
    {"input": [{"role": "system", "content": "x" * 9000}, USER]},
    {"instructions": "x" * 9000},
    {"input": [USER, CALL]},
    {"input": [USER, CALL, OUTPUT, OUTPUT]},
    {"tools": [SPACE, SPACE]},
    {"tools": [TOOL], "tool_choice": {"type": "function", "name": "space__f"}},
    {"tools": [{**SPACE, "tools": [{**TOOL, "parameters": ODD_SCHEMA}]}]},
    {"truncation": "auto", "input": "x" * 9000},
    {"input": [{"type": "compaction", "encrypted_content": "x"}]},
    {"tools": [TOOL, TOOL]},
    {"tools": [{**TOOL, "parameters": ODD_SCHEMA}]},
    {"tools": [{**TOOL, "strict": True, "parameters": {"type": "object", "properties": {"a": {}}}}]},
    {
        "tools": [
            {**TOOL, "parameters": {"type": "object", "properties": {"a": {"not": {}}}}, "strict": True}
        ],
        "tool_choice": "required",
    },
    {"tools": [CUSTOM], "tool_choice": "required"},
    {"tools": [{**CUSTOM, "format": {"type": "grammar", "syntax": "regex", "definition": "("}}]},
    {"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}},
    {"tools": [TOOL], "tool_choice": {"type": "custom", "name": "f"}},
    {
        "tools": [TOOL],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "g"}],
        },
    },
    {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
    *({"tool_choice": choice} for choice in ("required", {"type": "function", "name": "f"})),
    {"parallel_tool_calls": False, "tool_choice": "required"},
    {"text": schema_format(ODD_SCHEMA)},
    {"text": schema_format({"type": "object", "properties": {"a": {}}}, strict=True)},
    {"text": schema_format({"not": {}})},
    {"text": schema_format({}), "grammar": 'root ::= "a"'},
    {"text": {"format": {"type": "json_object"}}, "guided_regex": "a"},
    {"json_schema": ODD_SCHEMA},
    {"grammar": "root ::= ("},
    {"structured_outputs": {"regex": "("}},
    {"structured_outputs": {"json": "{"}},
    {"structured_outputs": {"regex": "a", "choice": ["b"]}},
    {"guided_json": ODD_SCHEMA},
    {"guided_regex": "("},
    {"guided_choice": ["a"], "guided_regex": "a"},
    {"guided_grammar": "root ::= ("},
    {"reasoning": {"effort": "high"}, "chat_template_kwargs": {"enable_thinking": False}},
    {"reasoning": {"effort": "none"}, "thinking_budget_tokens": 9},
    {"thinking_budget_tokens": 9, "chat_template_kwargs": {"enable_thinking": False}},
    *(
        {"chat_template_kwargs": {name: 1}}
        for name in ("messages", "nonsense", "tools", "add_generation_prompt")
    ),
    {"logit_bias": {"99999": 1}},
    {"logit_bias": {"1": 1}, "allowed_token_ids": [2]},
    {"allowed_token_ids": [99999]},
    {"allowed_token_ids": [97], "logit_bias": {"97": False}},
    {"stop_token_ids": [99999]},
    {"stop_token_ids": [97], "logit_bias": {"97": False}},
    {"bad_words": ["a"], "allowed_token_ids": [97]},
    {"ignore_eos": True, "allowed_token_ids": [258]},
    {"preset": "none"},
    {"samplers": ["top_k"], "top_p": 0.5},
    {"temperature": 0, "mirostat": 2},
    {"adaptive_target": 0.5, "mirostat": 2},
    {"typical": 0.5, "typ_p": 0.6},
    {"repeat_penalty": 1.5, "repeat_last_n": 0},
    {"dry_multiplier": 1, "dry_sequence_breakers": ["<|im_start|>" * 3]},
    *(
        {name: value}
        for name, value in (
            *(("xtc_threshold", 0.2), ("dynatemp_exponent", 2), ("mirostat_tau", 3), ("mirostat_eta", 0.5)),
            *(("dry_base", 3), ("dry_allowed_length", 9), ("dry_penalty_last_n", 9), ("stop_limit", 2)),
            *(("adaptive_decay", 0.5), ("repeat_last_n", 9), ("include_stop_str_in_output", True)),
        )
    ),
    {"include": ["message.output_text.logprobs"], "top_logprobs": 99},
    {"top_logprobs": 1},
    {"previous_response_id": "resp_none"},
    {"model": "none"},
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARAVAN_RESPONSES_DB", "memory")
        with app_over(ScriptedEngine(context_size=4096)) as made:
            yield made


def refusal(client: TestClient, fields: dict[str, Any]) -> dict[str, Any] | None:
    """The error of a request; None where it is answered. What it says is held against the route's names."""
    answer = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
    if answer.is_success:
        return None
    error: dict[str, Any] = answer.json()["error"]
    if error["code"] == "constraint_broken":
        # It was taken; the scripted model keeps to nothing.
        return None
    assert answer.status_code < 500, error
    param = error["param"]
    assert param is not None, error
    assert re.split(r"[.\[]", param)[0] in OWN, error
    assert not NESTED.search(param), error
    check_words(error["message"])
    return error


def check_words(message: str) -> None:
    """Nothing that a message quotes is another route's."""
    for word in re.findall(r"(?<!\w)'([^']+)'(?!\w)", message):
        assert re.split(r"[.\[]", word)[0] not in OTHERS, message
        assert not NESTED.search(word), message
    assert not {name for name in OTHERS if "_" in name and re.search(rf"(?<![\w.]){name}\b", message)}, (
        message
    )


@pytest.mark.parametrize("name", sorted(OWN - {"model_config"}))
def test_each_field_is_refused_by_its_own_name(client: TestClient, name: str) -> None:
    alias = ResponseRequest.model_fields[name].alias or name
    found = [error for value in TYPES if (error := refusal(client, {alias: value})) is not None]
    assert found
    others = [error for error in found if re.split(r"[.\[]", error["param"])[0] != alias]
    assert others == []


@pytest.mark.parametrize("fields", MEANINGS, ids=lambda fields: json.dumps(fields)[:70])
def test_what_cannot_be_meant_is_refused_by_names_of_the_route(
    client: TestClient, fields: dict[str, Any]
) -> None:
    plain = refusal(client, fields)
    assert plain is not None, "it was answered"
    param = re.split(r"[.\[]", plain["param"])[0]
    assert param in {*fields, "input"}
    for more in ({"stream": True}, {"store": False}, {"background": True, "store": True}):
        other = refusal(client, {**more, **fields})
        assert other is not None
        assert (other["param"], other["code"]) == (plain["param"], plain["code"])


@pytest.mark.parametrize("after", [0, 1])
def test_a_constraint_that_fails_while_the_answer_is_made(after: int) -> None:
    engine = ScriptedEngine()
    engine.fail_after = after
    with pytest.MonkeyPatch.context() as patch, app_over(engine) as client:
        patch.setenv("CARAVAN_RESPONSES_DB", "memory")
        body = {"model": "fake", "input": "Hi", "store": False}
        told = "'response_format.json_schema.schema' cannot be kept to: it takes too long."

        def fail() -> None:
            param = "response_format.json_schema.schema"
            engine.failure = ConstraintFailedError(told, param=param)

        fail()
        whole = client.post(URL, json=body)
        assert (whole.status_code, whole.json()["error"]["param"]) == (400, "text.format.schema")
        check_words(whole.json()["error"]["message"])
        fail()
        streamed = client.post(URL, json={**body, "stream": True})
        if streamed.is_success:
            last = events_of(streamed.text)[-1]
            check_words(last["response"]["error"]["message"])
            assert "text.format.schema" in last["response"]["error"]["message"]
        else:
            assert streamed.json()["error"]["param"] == "text.format.schema"


@pytest.mark.parametrize(
    ("url", "fields", "others"),
    [
        ("/v1/completions", {"prompt": "Hi"}, {"echo", "prompt_logprobs"}),
        ("/v1/chat/completions", {"messages": [USER]}, {"prompt_logprobs"}),
        (URL, {"input": "Hi"}, set()),
    ],
)
def test_no_tokens_at_all_are_refused_by_what_each_route_has(
    client: TestClient, url: str, fields: dict[str, Any], others: set[str]
) -> None:
    answer = client.post(url, json={"model": "fake", "max_tokens": 0, **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "max_tokens")
    assert set(re.findall(r"'(\w+)'", error["message"])) == {"max_tokens", *others}
