"""What clients send by habit: values that ask for nothing, or for what is done anyway."""

from collections.abc import Generator
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.web.chat_models import app_over

Json = dict[str, Any]
CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
HEADER = "x-caravan-ignored"
USER = {"role": "user", "content": "x"}
CACHED = {"cache_control": {"type": "ephemeral"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAMPLERS = ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]

# llama.cpp's own page: what its settings hold, and what it always adds.
LLAMA_PAGE: Json = {
    "messages": [{"content": "x", "role": "user"}],
    "stream": False,
    "reasoning_format": "auto",
    "return_progress": True,
    "sse_ping_interval": 1,
    "reasoning_control": True,
    "timings_per_token": True,
    "temperature": 0.8,
    "max_tokens": -1,
    "dynatemp_range": 0,
    "dynatemp_exponent": 1,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "xtc_probability": 0,
    "xtc_threshold": 0.1,
    "typ_p": 1,
    "repeat_last_n": 64,
    "repeat_penalty": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "dry_multiplier": 0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": -1,
    "samplers": SAMPLERS,
    "backend_sampling": False,
}
# A client that sends the samplers of all back ends to each of them.
ALL_SAMPLERS: Json = {
    "prompt": "x",
    "max_new_tokens": 250,
    "max_tokens": 250,
    "n_predict": 250,
    "temperature": 1,
    "top_p": 1,
    "typical_p": 1,
    "typical": 1,
    "sampler_seed": -1,
    "seed": -1,
    "min_p": 0,
    "repetition_penalty": 1,
    "rep_pen": 1,
    "rep_pen_range": 0,
    "repetition_penalty_range": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "top_k": 0,
    "skew": 0,
    "min_tokens": 0,
    "min_length": 0,
    "num_beams": 1,
    "length_penalty": 1,
    "early_stopping": False,
    "add_bos_token": True,
    "dynamic_temperature": False,
    "dynatemp_low": 1,
    "dynatemp_high": 1,
    "dynatemp_range": 0,
    "dynatemp_exponent": 1,
    "smoothing_factor": 0,
    "smoothing_curve": 1,
    "dry_allowed_length": 2,
    "dry_multiplier": 0,
    "dry_base": 1.75,
    "dry_sequence_breakers": ["\n", ":", '"', "*"],
    "dry_penalty_last_n": 0,
    "stopping_strings": ["\nUser:"],
    "stop": ["\nUser:"],
    "truncation_length": 8192,
    "ban_eos_token": False,
    "skip_special_tokens": True,
    "include_reasoning": True,
    "top_a": 0,
    "tfs": 1,
    "tfs_z": 1,
    "mirostat_mode": 0,
    "mirostat_tau": 5,
    "mirostat_eta": 0.1,
    "custom_token_bans": "",
    "banned_strings": [],
    "xtc_threshold": 0.1,
    "xtc_probability": 0,
    "nsigma": 0,
    "top_n_sigma": 0,
    "min_keep": 0,
    "adaptive_target": -0.01,
    "adaptive_decay": 0.9,
    "encoder_repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "penalty_alpha": 0,
    "epsilon_cutoff": 0,
    "eta_cutoff": 0,
    "guidance_scale": 1,
    "negative_prompt": "",
    "grammar_string": "",
    "temperature_last": True,
    "do_sample": True,
    "ignore_eos": False,
    "repeat_last_n": 0,
    "n_probs": 0,
    "grammar": "",
    "cache_prompt": True,
    "post_sampling_probs": False,
    "samplers": [*SAMPLERS[:5], "tfs_z", *SAMPLERS[5:], "adaptive_p"],
}
# An agent that was made for Anthropic and OpenRouter.
AGENT: Json = {
    "model": "fake",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s", **CACHED}]},
        {"role": "user", "content": [{"type": "text", "text": "x", **CACHED}], **CACHED},
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Hm.",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Hm.", "format": "x", "index": 0, "signature": "s"},
                {"type": "reasoning.encrypted", "data": "abc", "id": "rs_1", "format": "y", "index": 1},
            ],
            "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}],
            "refusal": None,
            "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.org"}}],
            "provider_specific_fields": {"thinking_blocks": [{"type": "thinking"}], "refusal": None},
            "tool_calls": [
                {
                    **CALL,
                    "index": 0,
                    "extra_content": {"google": {"thought_signature": "abc"}},
                    "provider_specific_fields": {"thought_signature": "abc"},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "y", **CACHED}]},
        {"role": "user", "content": "z"},
    ],
    "tools": [{"type": "function", "function": {**FUNCTION, **CACHED}, **CACHED}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": 0,
    "stream": True,
    "stream_options": {"include_usage": True},
    "transforms": [],
    "plugins": [],
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "reasoning": {"enabled": True},
    "metadata": {"user_id": "u"},
    "user": "u",
    "store": False,
}
VLLM_HABITS: Json = {
    "messages": [USER],
    "n": 1,
    "best_of": None,
    "use_beam_search": False,
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "stop_token_ids": [],
    "include_stop_str_in_output": False,
    "ignore_eos": False,
    "min_tokens": 0,
    "skip_special_tokens": True,
    "spaces_between_special_tokens": True,
    "truncate_prompt_tokens": None,
    "prompt_logprobs": None,
    "allowed_token_ids": None,
    "bad_words": [],
    "echo": False,
    "add_generation_prompt": True,
    "continue_final_message": False,
    "documents": None,
    "chat_template_kwargs": None,
    "mm_processor_kwargs": None,
    "guided_json": None,
    "priority": 0,
    "return_tokens_as_token_ids": False,
    "logits_processors": None,
    "separate_reasoning": True,
    "stream_reasoning": True,
    "seed": -1,
    "stop": [],
    "tools": [],
    "logit_bias": {},
    "frequency_penalty": 0.0,
}
SPACE = {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", **FUNCTION}]}
# A coding agent on Responses.
CODER: Json = {
    "model": "fake",
    "instructions": "i",
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": [SPACE]},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": None},
        {"type": "function_call", "call_id": "c", "namespace": "n", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
        {"type": "function_call_output", "call_id": "gone", "output": "o"},
    ],
    "tools": [
        {"type": "function", "strict": False, **FUNCTION},
        {**SPACE, "name": "m"},
        {"type": "local_shell"},
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content", "web_search_call.action.sources"],
    "prompt_cache_key": "k",
    "client_metadata": {"x-installation-id": "i"},
    "max_output_tokens": -1,
    "reasoning": {"summary": "concise", "context": "current_turn"},
    "text": {"verbosity": "medium"},
    "truncation": "auto",
}
CONVERSATION = {name: CODER[name] for name in ("model", "instructions", "input")}
BODIES: list[tuple[str, str, Json, set[str]]] = [
    (
        "llama.cpp's page",
        CHAT,
        LLAMA_PAGE,
        {"sse_ping_interval", "timings_per_token"},
    ),
    ("all samplers", TEXT, ALL_SAMPLERS, {"dynatemp_low", "dynatemp_high", "truncation_length"}),
    ("an agent", CHAT, AGENT, set()),
    ("vLLM's", CHAT, VLLM_HABITS, set()),
    (
        "a coding agent",
        RESPONSES,
        CODER,
        {
            "tools[].local_shell",
            "tools[].web_search",
            "include[].web_search_call.action.sources",
        },
    ),
    ("what it counts", f"{RESPONSES}/input_tokens", {**CONVERSATION, "tools": CODER["tools"][:2]}, set()),
    ("what it has summed up", f"{RESPONSES}/compact", CONVERSATION, set()),
]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


@pytest.mark.parametrize(
    ("url", "body", "told"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
def test_bodies_of_clients_are_answered(client: TestClient, url: str, body: Json, told: set[str]) -> None:
    answer = client.post(url, json=body)
    assert answer.status_code == 200, answer.text
    assert set(filter(None, answer.headers.get(HEADER, "").split(", "))) == told


def test_they_mean_what_they_say(client: TestClient, engine: ScriptedEngine) -> None:
    for url, body in ((CHAT, LLAMA_PAGE), (TEXT, ALL_SAMPLERS), (CHAT, VLLM_HABITS)):
        assert client.post(url, json=body).status_code == 200
    page, samplers, vllm = (request.params for request in engine.requests)
    assert (page.max_tokens, page.top_k, page.temperature) == (None, 40, 0.8)
    assert (samplers.max_tokens, samplers.stop, samplers.seed) == (250, ("\nUser:",), None)
    assert (samplers.adaptive_target, samplers.top_k, samplers.repeat_last_n) == (-1, 0, 0)
    assert (vllm.top_k, vllm.seed, vllm.stop) == (0, None, ())


ASKING: list[tuple[str, object]] = [
    ("tfs", 0.5),
    ("tfs_z", 0.9),
    ("top_a", 0.1),
    ("n_keep", 5),
    ("n_keep", -1),
    ("mirostat_mode", 3),
    ("smoothing_factor", 0.2),
    ("dynamic_temperature", True),
    ("guidance_scale", 1.5),
    ("do_sample", False),
    ("max_new_tokens", 5),
    ("stop_sequences", ["x"]),
    ("random_seed", 3),
    ("enable_thinking", False),
    ("thinking", {"type": "enabled"}),
    ("reasoning", {"effort": "high"}),
    ("cache_control", {"type": "forever"}),
    ("lora_path", ["a"]),
]


@pytest.mark.parametrize(("field", "value"), ASKING)
def test_what_asks_for_something_is_refused_by_name(client: TestClient, field: str, value: object) -> None:
    error = client.post(CHAT, json={"messages": [USER], field: value}).json()["error"]
    assert error["param"] == field
    assert f"'{field}'" in error["message"]


def test_names_of_others_pass_if_they_say_the_same(client: TestClient) -> None:
    for own, other, value in (
        ("max_tokens", "max_new_tokens", 5),
        ("n_predict", "num_predict", 5),
        ("stop", "stop_sequences", ["x"]),
        ("seed", "random_seed", 7),
        ("repeat_penalty", "rep_pen", 1.1),
    ):
        body = {"messages": [USER], own: value, other: value}
        assert client.post(CHAT, json=body).status_code == 200, other
        differing = {**body, other: 9 if other != "stop_sequences" else ["y"]}
        assert client.post(CHAT, json=differing).json()["error"]["param"] == other


def test_options_of_streams_that_ask_for_nothing_need_no_stream(client: TestClient) -> None:
    for url, body in ((CHAT, {"messages": [USER]}), (TEXT, {"prompt": "x"}), (RESPONSES, {"input": "x"})):
        for options in ({}, {"include_obfuscation": False}):
            assert client.post(url, json={**body, "stream_options": options}).status_code == 200
        asking = client.post(url, json={**body, "stream_options": {"include_obfuscation": True}})
        assert asking.json()["error"]["param"] == "stream_options"


def test_items_are_kept_without_what_had_no_effect(client: TestClient) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "client_x": 1}
    result = {"type": "function_call_output", "call_id": "c", "output": "y", "client_x": 1}
    message = {"role": "user", "content": [{"type": "input_text", "text": "x", "client_x": 1}], "client_x": 1}
    made = client.post(RESPONSES, json={"input": [message, call, result]})
    assert made.headers[HEADER] == "input[].client_x, input[].content[].client_x"
    items = client.get(f"{RESPONSES}/{made.json()['id']}/input_items").text
    assert "client_x" not in items
    following = client.post(RESPONSES, json={"input": "z", "previous_response_id": made.json()["id"]})
    assert following.status_code == 200, following.text


def test_a_prompt_can_be_computed_for_later(client: TestClient, engine: ScriptedEngine) -> None:
    for url, body in ((CHAT, {"messages": [USER]}), (TEXT, {"prompt": "x"})):
        client.post(url, json={**body, "n_predict": 0})
        assert engine.requests[-1].params.max_tokens == 0


WITHOUT_A_MODEL: list[tuple[str, Json]] = [
    (CHAT, {"messages": [USER]}),
    (TEXT, {"prompt": "x"}),
    (RESPONSES, {"input": "x"}),
    ("/v1/embeddings", {"input": "x"}),
    ("/v1/decisions", {"input": "x", "questions": [{"type": "predicate", "instructions": "y"}]}),
    ("/v1/decoding/explain", {"prompt": "x"}),
    ("/tokenize", {"content": "x"}),
    ("/detokenize", {"tokens": [65]}),
    ("/apply-template", {"messages": [USER]}),
]


@pytest.mark.parametrize(("url", "body"), WITHOUT_A_MODEL, ids=[url for url, _ in WITHOUT_A_MODEL])
def test_one_model_need_not_be_named(client: TestClient, url: str, body: Json) -> None:
    named = client.post(url, json={**body, "model": "fake"})
    for unnamed in (body, {**body, "model": None}, {**body, "model": ""}):
        answer = client.post(url, json=unnamed)
        assert answer.status_code == 200, answer.text
        assert answer.json().get("model") == named.json().get("model")
    assert client.post(url, json={**body, "model": "none"}).status_code == 404


@pytest.mark.parametrize(("url", "body"), WITHOUT_A_MODEL, ids=[url for url, _ in WITHOUT_A_MODEL])
def test_several_models_must_be_named(url: str, body: Json) -> None:
    registry = registry_over(loaded_model(name="a"), loaded_model(name="b"))
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        error = client.post(url, json=body).json()["error"]
    assert (error["param"], error["code"]) == ("model", "missing_required_parameter")


def test_streams_without_a_model_name_it(client: TestClient) -> None:
    text = client.post(CHAT, json={"messages": [USER], "stream": True}).text
    assert '"model":"fake"' in text
