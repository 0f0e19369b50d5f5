"""Chats and texts of Ollama's API as clients see them, over a scripted model."""

import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from caravan.errors import EngineFailedError
from caravan_schemas.ollama_answers import OllamaChatAnswer, OllamaErrorResponse, OllamaGenerateAnswer
from fastapi.testclient import TestClient

from tests.fakes_web import FakeVocab, ScriptedEngine, loaded_model
from tests.waiting import wait_until
from tests.web.chat_models import WEATHER, app_over, hermes
from tests.web.test_reasoning import prompt
from tests.web.test_tools import says

CHAT, GENERATE = "/api/chat", "/api/generate"
TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
PARIS = hermes("get_weather", '{"city": "Paris"}')


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


def body(**fields: object) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], **fields}


def lines(client: TestClient, path: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines of a stream that ended well, checked against the schema."""
    answer = client.post(path, json=request)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text.endswith("\n")
    schema = OllamaChatAnswer if path == CHAT else OllamaGenerateAnswer
    sent = answer.text.splitlines()
    assert len(sent) == answer.text.count("\n")
    for line in sent:
        schema.model_validate_json(line)
    found: list[dict[str, Any]] = [json.loads(line) for line in sent]
    assert [line["done"] for line in found] == [False] * (len(found) - 1) + [True]
    return found


def whole(client: TestClient, path: str, request: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json={**request, "stream": False})
    assert answer.status_code == 200, answer.text
    schema = OllamaChatAnswer if path == CHAT else OllamaGenerateAnswer
    schema.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def refusal(client: TestClient, path: str, request: dict[str, Any], status: int = 400) -> str:
    answer = client.post(path, json=request)
    assert answer.status_code == status, answer.text
    return OllamaErrorResponse.model_validate_json(answer.content).error


def test_a_chat_comes_in_lines_and_whole(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "Hello\u2028you", 4)
    *first, last = lines(client, CHAT, body())
    assert [line["message"]["content"] for line in first] == ["Hell", "o\u2028yo", "u"]
    complete = whole(client, CHAT, body())
    assert complete["message"] == {"role": "assistant", "content": "Hello\u2028you"}
    for end in (last, complete):
        assert end["model"] == "fake"
        assert end["done_reason"] == "stop"
        assert end["prompt_eval_count"] == len(engine.requests[-1].token_ids)
        assert end["eval_count"] == 3
        parts = [end[name] for name in TIMES]
        assert sum(parts[1:]) <= parts[0]
        assert parts[3] > 0


def test_generate_writes_a_chat_or_goes_on_with_a_text(client: TestClient, engine: ScriptedEngine) -> None:
    asked = {"model": "fake", "prompt": "Hi", "system": "Be kind."}
    *_, last = lines(client, GENERATE, asked)
    assert last["response"] == ""
    assert prompt(engine) == "system\nBe kind.\nuser\nHi\nassistant\n"
    assert whole(client, GENERATE, {"model": "fake", "prompt": "Hi", "raw": True})["response"]
    assert prompt(engine) == "Hi"
    # OpenAI's sixteen tokens are not Ollama's.
    assert engine.requests[-1].params.max_tokens is None


def test_a_gap_is_filled(engine: ScriptedEngine) -> None:
    vocab = FakeVocab()
    vocab.fill_ids = (256, 257, 258)
    with app_over(engine, model=loaded_model(engine, vocab=vocab)) as client:
        whole(client, GENERATE, {"model": "fake", "prompt": "a", "suffix": "b"})
    assert engine.requests[-1].token_ids == (256, 97, 257, 98, 258)


def test_options_are_decoding_parameters(client: TestClient, engine: ScriptedEngine) -> None:
    options = {
        "num_predict": 2.0,
        "temperature": 1,
        "top_k": 7,
        "top_p": 0.5,
        "min_p": 0.25,
        "typical_p": 0.75,
        "repeat_last_n": 3,
        "repeat_penalty": 1.5,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "seed": 9,
        "stop": ["x"],
        "tfs_z": 1,
        "penalize_newline": True,
    }
    answer = client.post(CHAT, json=body(options=options, stream=False))
    assert answer.json()["done_reason"] == "length"
    assert "x-caravan-ignored" not in answer.headers
    params = engine.requests[-1].params
    assert (params.max_tokens, params.temperature, params.seed, params.stop) == (2, 1.0, 9, ("x",))
    whole(client, CHAT, body(options={"mirostat": 2, "mirostat_tau": 4, "mirostat_eta": 0.5}))
    assert engine.requests[-1].params.mirostat == 2
    for no_limit in (-1, -2):
        whole(client, CHAT, body(options={"num_predict": no_limit}))
        assert engine.requests[-1].params.max_tokens is None


def test_what_is_the_operators_passes_and_is_told(client: TestClient) -> None:
    options = {"num_ctx": 8192.0, "num_thread": 4, "num_batch": 1, "use_mmap": True, "num_keep": 3, "own": 1}
    answer = client.post(CHAT, json=body(options=options, truncate=True))
    assert answer.status_code == 200
    told = set(answer.headers["x-caravan-ignored"].split(", "))
    assert told == {*(f"options.{name}" for name in options), "truncate"}


@pytest.mark.parametrize(
    ("path", "fields", "named"),
    [
        (CHAT, {"options": {"temperature": 900}}, "'options.temperature' must be from 0 to 100"),
        (CHAT, {"options": {"num_predict": 0}}, "'options.num_predict' must be at least 1"),
        (CHAT, {"options": {"num_predict": -3}}, "'options.num_predict' must be from -1"),
        (CHAT, {"options": {"top_k": 1.5}}, "'options.top_k' must be"),
        (CHAT, {"options": {"stop": [1]}}, "'options.stop[0]' must be a string"),
        (CHAT, {"options": {"stop": ["x"] * 17}}, "'options.stop' must have at most 16"),
        (CHAT, {"options": {"mirostat": 2, "temperature": 0}}, "'options."),
        (CHAT, {"options": {"tfs_z": 0.5}}, "'options.tfs_z' is not supported"),
        (CHAT, {"options": {"penalize_newline": False}}, "'options.penalize_newline' is not supported"),
        (CHAT, {"options": {"temprature": 1}}, "Did you mean 'temperature'?"),
        (CHAT, {"options": 3}, "'options' must be an object"),
        (CHAT, {"keep_alive": []}, "'keep_alive' must be a duration"),
        (CHAT, {"keep_alive": "5 minutes"}, "'keep_alive' must be a duration"),
        (CHAT, {"think": "much"}, "'think' must be true, false, 'low', "),
        (CHAT, {"top_logprobs": 2}, "'logprobs'"),
        (CHAT, {"format": "yaml"}, "'format' must be"),
        (CHAT, {"format": {"type": "nothing"}}, "'format'"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": "x", "images": ["eA=="]}]},
            "'messages[0].images[0]'",
        ),
        (CHAT, {"messages": [{"role": "judge", "content": "x"}]}, "'messages[0].role' must be"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "'messages[0]' is the result of a tool"),
        (CHAT, {"messages": [{"role": "user", "content": "x" * 9000}]}, "context is 8192 tokens"),
        (GENERATE, {"prompt": "x" * 9000}, "context is 8192 tokens"),
        (GENERATE, {"images": ["eA=="], "prompt": "x"}, "'images[0]' is not supported"),
        (GENERATE, {"template": "x", "prompt": "x"}, "'template' is not supported"),
        (GENERATE, {"context": [1], "prompt": "x"}, "'context' is not supported"),
        (GENERATE, {"raw": True, "system": "x", "prompt": "x"}, "'system' and 'raw'"),
        (GENERATE, {"raw": True, "think": True, "prompt": "x"}, "'think' and 'raw'"),
        (GENERATE, {"suffix": "x", "prompt": "x"}, "'suffix' is not supported"),
        (GENERATE, {"raw": True, "prompt": "x", "top_logprobs": 2}, "'top_logprobs'"),
    ],
)
def test_what_is_not_served_is_refused_by_ollamas_name(
    client: TestClient, path: str, fields: dict[str, object], named: str
) -> None:
    request = body(**fields) if path == CHAT else {"model": "fake", **fields}
    assert named in refusal(client, path, request)


def test_a_thought_is_apart_and_can_be_switched(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "<think>\nHm.\n</think>\n\nHello.")
    for path, request in ((CHAT, body()), (GENERATE, {"model": "fake", "prompt": "Hi"})):
        said = whole(client, path, {**request, "think": "high"})
        told = said["message"] if path == CHAT else said
        assert told["thinking"] == "Hm."
        assert told.get("content", told.get("response")) == "Hello."
        pieces = [line["message"] if path == CHAT else line for line in lines(client, path, request)]
        assert "".join(piece.get("thinking", "") for piece in pieces) == "Hm."
    says(engine, "Hello.")
    whole(client, CHAT, body(think=False))
    assert prompt(engine).endswith("<think></think>")
    with app_over(engine, "{% for m in messages %}{{ m.content }}{% endfor %}") as plain:
        assert "'think'" in refusal(plain, CHAT, body(think=True))


def test_calls_come_whole_and_their_results_find_them(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, f"{PARIS}\n{hermes('get_weather', '{}')}".replace("{}", '{\n"city": "Rome"}'))
    sent = lines(client, CHAT, body(tools=[WEATHER]))
    calls = [call for line in sent for call in line["message"].get("tool_calls", ())]
    assert [call["function"] for call in calls] == [
        {"index": 0, "name": "get_weather", "arguments": {"city": "Paris"}},
        {"index": 1, "name": "get_weather", "arguments": {"city": "Rome"}},
    ]
    assert sent[-1]["done_reason"] == "stop"
    said = whole(client, CHAT, body(tools=[WEATHER]))["message"]
    assert [call["function"] for call in said["tool_calls"]] == [call["function"] for call in calls]
    assert said["content"] == ""
    for call in said["tool_calls"]:
        del call["id"]
    says(engine, "Fine.")
    results = [
        {"role": "tool", "tool_name": "get_weather", "content": "21"},
        {"role": "tool", "content": "22"},
    ]
    asked = [*body()["messages"], said, *results]
    assert whole(client, CHAT, body(tools=[WEATHER], messages=asked))["message"]["content"] == "Fine."
    shown = prompt(engine)
    assert shown.index("Rome") < shown.index("tool\n21") < shown.index("tool\n22")
    other = [*asked[:2], {"role": "tool", "tool_name": "get_time", "content": "21"}]
    assert "'messages[2]'" in refusal(client, CHAT, body(tools=[WEATHER], messages=other))


def test_a_call_that_the_limit_cuts_off_is_not_told(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, PARIS)
    said = whole(client, CHAT, body(tools=[WEATHER], options={"num_predict": 18}))
    assert said["done_reason"] == "length"
    assert "tool_calls" not in said["message"]


def test_an_answer_keeps_to_its_format(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, '{"a": 1}')
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    for shape in (schema, "json"):
        whole(client, CHAT, body(format=shape))
        assert engine.requests[-1].constraint is not None
    whole(client, CHAT, body(format=""))
    assert engine.requests[-1].constraint is None
    says(engine, '{"b": 1}')
    sent = client.post(CHAT, json=body(format=schema)).text.splitlines()
    assert "constraint" in json.loads(sent[-1])["error"]


def test_log_probabilities_are_told_where_they_are_asked_for(
    client: TestClient, engine: ScriptedEngine
) -> None:
    says(engine, "ab", 1)
    for path, request in ((CHAT, body()), (GENERATE, {"model": "fake", "prompt": "x", "raw": True})):
        asked = {**request, "logprobs": True, "top_logprobs": 1}
        entries = whole(client, path, asked)["logprobs"]
        assert [(entry["token"], entry["logprob"]) for entry in entries] == [("a", -1.5), ("b", -1.5)]
        assert [len(entry["top_logprobs"]) for entry in entries] == [1, 1]
        streamed = [entry for line in lines(client, path, asked) for entry in line.get("logprobs", ())]
        assert streamed == entries
        assert "logprobs" not in whole(client, path, request)


def test_names_have_a_tag_or_none(client: TestClient) -> None:
    for name in ("fake", "fake:latest", "org/other-name:latest"):
        assert whole(client, CHAT, body(model=name))["model"] == name
    assert whole(client, CHAT, {"messages": body()["messages"]})["model"] == "fake"
    for name in ("fake:7b", "other", ":latest"):
        assert "does not exist" in refusal(client, CHAT, body(model=name), 404)


def test_a_request_without_a_prompt_loads_or_unloads(live: str, engine: ScriptedEngine) -> None:
    unloaded = httpx.post(f"{live}{GENERATE}", json={"model": "fake", "keep_alive": 0})
    assert unloaded.json()["done_reason"] == "unload"
    assert engine.closed
    for path in (CHAT, GENERATE):
        answer = httpx.post(f"{live}{path}", json={"model": "fake:latest", "keep_alive": "5m"})
        assert answer.json()["done_reason"] == "load"
        assert "x-caravan-ignored" not in answer.headers
    assert engine.is_ready
    assert not engine.requests


def test_only_administrators_unload(client: TestClient) -> None:
    for silence in (0, "0s"):
        refused = refusal(client, CHAT, {"keep_alive": silence}, 403)
        assert refused == "Without keys, this is for callers on the server's own machine."


def test_errors_are_ollamas_on_every_path(client: TestClient) -> None:
    assert (
        "not valid JSON"
        in OllamaErrorResponse.model_validate_json(client.post(CHAT, content=b"{").content).error
    )
    for method, path, status in (("GET", CHAT, 405), ("POST", "/api/chatt", 404)):
        answer = client.request(method, path)
        assert answer.status_code == status
        OllamaErrorResponse.model_validate_json(answer.content)


def test_a_failure_in_a_stream_is_its_last_line(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "abcdef", 1)
    engine.failure, engine.fail_after = EngineFailedError("The engine failed."), 2
    sent = client.post(CHAT, json=body()).text.splitlines()
    assert [json.loads(line).get("error") for line in sent] == [None, None, "The engine failed."]
    engine.fail_after = 0
    assert refusal(client, CHAT, body(), 500) == "The engine failed."


def test_lines_leave_while_the_engine_works(live: str, engine: ScriptedEngine) -> None:
    engine.hold_after = 1
    with httpx.stream("POST", f"{live}{CHAT}", json=body()) as response:
        arrived = response.iter_lines()
        assert json.loads(next(arrived))["message"]["content"]
        assert engine.running
        engine.hold_after = None
        assert json.loads(list(arrived)[-1])["done"]
    assert not engine.aborted


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_silent_stream_sends_nothing_that_a_reader_of_lines_would_see(
    talkative: str, engine: ScriptedEngine, pieces: int
) -> None:
    engine.hold_after = pieces
    with httpx.stream("POST", f"{talkative}{CHAT}", json=body()) as response:
        arrived = response.iter_raw()
        text = b""
        while not text.endswith(b"  "):
            text += next(arrived)
        engine.hold_after = None
        text += b"".join(arrived)
    found = [json.loads(line) for line in text.decode().splitlines()]
    assert [line["done"] for line in found] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_client_that_leaves_ends_the_work(talkative: str, engine: ScriptedEngine, pieces: int) -> None:
    engine.hold_after = pieces
    with httpx.stream("POST", f"{talkative}{CHAT}", json=body()):
        wait_until(lambda: bool(engine.running))
    wait_until(lambda: not engine.running)
    assert len(engine.aborted) == 1
