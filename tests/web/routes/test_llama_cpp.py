"""llama.cpp's own routes as its clients see them, over a scripted model."""

import json
import threading
from collections.abc import Generator
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.engine.params import GenerationRequest
from caravan.models import ModelRegistry
from caravan.web.app import create_app
from caravan_schemas.chat import ChatCompletionChunk
from caravan_schemas.completions import Completion
from caravan_schemas.llama_cpp import LlamaProps
from fastapi.testclient import TestClient

from tests.fakes_web import FakeVocab, ScriptedEngine, loaded_model, spec_of
from tests.waiting import PATIENCE, wait_until
from tests.web.chat_models import app_over
from tests.web.llama_clients import BODIES, READ_BY_VIM, VIM_FILLS, VIM_PREPARES, VSCODE_FILLS
from tests.web.test_reasoning import ALWAYS
from tests.web.test_tools import says

Json = dict[str, Any]
COMPLETION, INFILL = "/completion", "/infill"
CHAT, CONTROL = "/v1/chat/completions", "/v1/chat/completions/control"
PREFIX, SUFFIX, MIDDLE, REPOSITORY, FILE = 259, 260, 261, 262, 263
IGNORED = "x-caravan-ignored"


class FillingVocab(FakeVocab):
    """Has tokens for gaps and for files."""

    def __init__(self, *, with_files: bool = True) -> None:
        super().__init__()
        self.size = 264
        self.fill_ids = (PREFIX, SUFFIX, MIDDLE)
        self.file_ids = (REPOSITORY, FILE) if with_files else (None, None)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine, model=loaded_model(engine, vocab=FillingVocab())) as client:
        yield client


def whole(client: TestClient, path: str, **body: object) -> Any:  # noqa: ANN401
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: TestClient, path: str, **body: object) -> list[Json]:
    """The events of a stream, of which none is `[DONE]`."""
    answer = client.post(path, json={**body, "stream": True})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]


def refused(client: TestClient, path: str, expected: int = 400, /, **body: object) -> Json:
    answer = client.post(path, json=body)
    assert answer.status_code == expected, answer.text
    error: Json = answer.json()["error"]
    return error


def texts(request: GenerationRequest) -> list[str | int]:
    """The tokens of a prompt, texts joined."""
    joined: list[str | int] = []
    for token_id in request.token_ids:
        if token_id >= 256:
            joined.append(token_id)
        elif joined and isinstance(joined[-1], str):
            joined[-1] += chr(token_id)
        else:
            joined.append(chr(token_id))
    return joined


@pytest.mark.parametrize("path", [COMPLETION, "/completions"])
def test_an_answer_has_llama_cpps_fields(client: TestClient, engine: ScriptedEngine, path: str) -> None:
    says(engine, "one\ntwo", 3)
    answer = whole(client, path, prompt="abc", return_tokens=True, top_k=7, seed=3, n_predict=9, stop=["x"])
    timings, settings = answer.pop("timings"), answer.pop("generation_settings")
    assert answer == {
        "index": 0,
        "content": "one\ntwo",
        "tokens": list(b"one\ntwo"),
        "id_slot": -1,
        "stop": True,
        "model": "fake",
        "tokens_predicted": 3,
        "tokens_evaluated": 3,
        "prompt": "abc",
        "has_new_line": True,
        "truncated": False,
        "stop_type": "eos",
        "stopping_word": "",
        "tokens_cached": 5,
    }
    assert (timings["cache_n"], timings["prompt_n"], timings["predicted_n"]) == (1, 2, 3)
    for part in ("prompt", "predicted"):
        count, milliseconds = timings[f"{part}_n"], timings[f"{part}_ms"]
        assert milliseconds > 0
        assert timings[f"{part}_per_token_ms"] == pytest.approx(milliseconds / count)
        assert timings[f"{part}_per_second"] == pytest.approx(1000 * count / milliseconds)
    assert (settings["top_k"], settings["seed"], settings["n_predict"], settings["stop"]) == (7, 3, 9, ["x"])
    assert settings["samplers"][:3] == ["penalties", "dry", "top_n_sigma"]
    assert settings["samplers"][-1] == "temperature"


def test_a_stream_adds_up_to_the_answer_and_has_no_done(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "a\u2028bcde", 2)
    *news, last = events(client, COMPLETION, prompt="abc")
    expected = whole(client, COMPLETION, prompt="abc", return_tokens=True)
    assert "".join(event["content"] for event in news) == expected["content"] == "a\u2028bcde"
    assert [i for event in news for i in event["tokens"]] == expected["tokens"]
    assert [event["stop"] for event in news] == [False] * 3
    assert [event["tokens_predicted"] for event in news] == [1, 2, 3]
    assert all("timings" not in event and "model" not in event for event in news)
    assert (last["content"], last["tokens"], last["stop"]) == ("", [], True)
    timed = events(client, COMPLETION, prompt="abc", timings_per_token=True)
    assert [event["timings"]["predicted_n"] for event in timed] == [1, 2, 3, 3]
    for name in ("timings", "generation_settings", "content", "tokens"):
        last.pop(name), expected.pop(name)
    assert last == expected


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("ab", [["ab"]]),
        ([97, 98], [["ab"]]),
        (["ab", 257, "c<s>"], [["ab", 257, "c", 256]]),
        ([257, "ab"], [[257, "ab"]]),
        ({"prompt_string": "ab"}, [["ab"]]),
        (["ab", "c"], [["ab"], ["c"]]),
        (["ab", [99], [100, "e"], {"prompt_string": "f"}], [["ab"], ["c"], ["de"], ["f"]]),
        (["ab"], [["ab"]]),
    ],
)
def test_prompts_come_in_all_forms(
    client: TestClient, engine: ScriptedEngine, prompt: object, read: list[list[str | int]]
) -> None:
    answer = whole(client, COMPLETION, prompt=prompt)
    assert [texts(request) for request in engine.requests] == read
    answers = answer if len(read) > 1 else [answer]
    assert [one["index"] for one in answers] == list(range(len(read)))
    assert [one["tokens_evaluated"] for one in answers] == [len(one.token_ids) for one in engine.requests]


def test_several_texts_of_a_prompt_are_an_array(client: TestClient, engine: ScriptedEngine) -> None:
    answers = whole(client, COMPLETION, prompt=["ab", "c"], n_cmpl=2)
    assert [answer["index"] for answer in answers] == [0, 1, 2, 3]
    assert [answer["prompt"] for answer in answers] == ["ab", "ab", "c", "c"]
    assert [request.n for request in engine.requests] == [2, 2]
    assert len(whole(client, COMPLETION, prompt="ab", n=2)) == 2
    assert refused(client, COMPLETION, prompt="ab", n=2, n_cmpl=3)["param"] == "n_cmpl"
    ended = [event for event in events(client, COMPLETION, prompt="ab", n_cmpl=2) if event["stop"]]
    assert sorted(event["index"] for event in ended) == [0, 1]


def test_prompts_that_are_none_are_refused(client: TestClient) -> None:
    for prompt, param in (
        (5, "prompt"),
        ([], "prompt"),
        ([[]], "prompt[0]"),
        (["a", None], "prompt[1]"),
        ([1, None], "prompt[1]"),
        ([1, "a", 264], "prompt[2]"),
        ([300, 1], "prompt[0]"),
        ({"prompt_string": 5}, "prompt.prompt_string"),
        ({"prompt_string": "a", "multimodal_data": ["x"]}, "prompt.multimodal_data"),
        ([{"prompt_string": "a", "multimodal_data": ["x"]}], "prompt[0].multimodal_data"),
    ):
        assert refused(client, COMPLETION, prompt=prompt)["param"] == param
    assert refused(client, COMPLETION)["param"] == "prompt"


def test_probabilities_of_tokens(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "hé", 9)
    answer = whole(client, COMPLETION, prompt="abc", n_probs=2)
    first, half, _ = answer["completion_probabilities"]
    assert first == {
        "id": ord("h"),
        "token": "h",
        "bytes": [ord("h")],
        "logprob": -1.5,
        "top_logprobs": [
            {"id": 105, "token": "i", "bytes": [105], "logprob": -0.25},
            {"id": 106, "token": "j", "bytes": [106], "logprob": -0.5},
        ],
    }
    assert (half["token"], half["bytes"]) == ("", [0xC3])
    drawn = whole(client, COMPLETION, prompt="abc", n_probs=1, post_sampling_probs=True)
    entry = drawn["completion_probabilities"][0]
    assert entry["prob"] == pytest.approx(0.2231, abs=1e-4)
    assert entry["top_probs"][0]["prob"] == pytest.approx(0.7788, abs=1e-4)
    assert engine.requests[-1].params.tells_drawn
    *news, last = events(client, COMPLETION, prompt="abc", n_probs=2)
    assert [entry for event in news for entry in event["completion_probabilities"]] == answer[
        "completion_probabilities"
    ]
    assert "completion_probabilities" not in last
    for other in ({"mirostat": 2}, {"adaptive_target": 0.5}):
        error = refused(client, COMPLETION, prompt="a", n_probs=1, post_sampling_probs=True, **other)
        assert error["param"] == "post_sampling_probs"


def test_the_progress_of_prompts_is_told_in_streams(client: TestClient, engine: ScriptedEngine) -> None:
    told = [
        {"total": 6, "cache": 3, "processed": 3, "time_ms": 0},
        {"total": 6, "cache": 3, "processed": 4, "time_ms": 125},
        {"total": 6, "cache": 3, "processed": 6, "time_ms": 250},
    ]
    for body in ({"prompt": "abcdef"}, {"prompt": "abcdef", "n_cmpl": 2}):
        *_, last = found = events(client, COMPLETION, **body, return_progress=True)
        assert [event.get("prompt_progress") for event in found[:4]] == [*told, None]
        assert all(
            (event["content"], event["tokens"], event["stop"]) == ("", [], False) for event in found[:3]
        )
        assert found[0]["tokens_predicted"] == 0
        assert last["stop"]
    whole(client, COMPLETION, prompt="abcdef", return_progress=True)
    assert not engine.requests[-1].tells_progress
    silent = events(client, COMPLETION, prompt="abcdef")
    assert not any("prompt_progress" in event for event in silent)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "abcdef"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "abcdef"}]}),
    ],
)
def test_it_is_told_on_openais_routes(client: TestClient, path: str, body: Json) -> None:
    answer = client.post(path, json={**body, "stream": True, "return_progress": True})
    assert IGNORED not in answer.headers
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    told = [chunk.pop("prompt_progress") for chunk in chunks if "prompt_progress" in chunk]
    total = told[0]["total"]
    assert [one["processed"] for one in told] == [total // 2, total // 2 + (total - total // 2) // 2, total]
    schema = ChatCompletionChunk if "messages" in body else Completion
    for chunk in chunks:
        schema.model_validate_json(json.dumps(chunk))
    texts = [
        chunk["choices"][0].get("text") or chunk["choices"][0].get("delta", {}).get("content")
        for chunk in chunks
    ]
    assert "".join(filter(None, texts)).startswith("prompt of")


def test_only_the_fields_that_are_wanted_are_told(client: TestClient) -> None:
    wanted = ["content", "timings/predicted_n", "nothing", "timings/x", "content/x", "truncated"]
    answer = whole(client, COMPLETION, prompt="abc", response_fields=wanted)
    assert list(answer) == ["content", "timings/predicted_n", "truncated"]
    assert whole(client, COMPLETION, prompt="abc", response_fields=[""]) == {}
    assert len(whole(client, COMPLETION, prompt="abc", response_fields=[])) > 10


def test_a_list_of_samplers_leaves_the_others_out(client: TestClient, engine: ScriptedEngine) -> None:
    sent: Json = {
        "temperature": 0.3,
        "repetition_penalty": 2,
        "top_p": 0.5,
        "top_k": 5,
        "samplers": ["top_k"],
    }
    answer = client.post(COMPLETION, json={"prompt": "a", **sent})
    assert answer.status_code == 200, answer.text
    params = engine.requests[-1].params
    assert (params.samplers, params.top_k, params.temperature) == (("top_k",), 5, 1.0)
    assert params.repeat_penalty == 1.0
    told = set(answer.headers[IGNORED].split(", "))
    assert told == {"temperature", "repetition_penalty", "top_p"}
    whole(client, COMPLETION, prompt="a", temperature=0.3, samplers="kt")
    assert engine.requests[-1].params.temperature == 0.3


def test_fields_of_llama_cpp_work_or_are_refused(client: TestClient, engine: ScriptedEngine) -> None:
    for field, value in (
        ("n_keep", -1),
        ("n_discard", 5),
        ("image_data", [{}]),
        ("grammar_lazy", True),
        ("tempature", 1),
    ):
        error = refused(client, COMPLETION, prompt="a", **{field: value})
        assert error["param"] == field
    assert refused(client, COMPLETION, prompt="a", lora=[{"id": 0}])["param"] == "lora[0].id"
    passing = {"id_slot": 3, "t_max_prompt_ms": 500, "n_cache_reuse": 256, "lora": [], "n_keep": 0}
    answer = client.post(COMPLETION, json={"prompt": "a", "sse_ping_interval": 5, **passing})
    assert answer.status_code == 200, answer.text
    assert set(answer.headers[IGNORED].split(", ")) == {"id_slot", "sse_ping_interval"}
    whole(
        client, COMPLETION, prompt="a", cache_prompt=False, t_max_predict_ms=700, n_indent=2, ignore_eos=True
    )
    params = engine.requests[-1].params
    assert (params.line_seconds, params.n_indent, params.ignore_eos, params.max_tokens) == (
        0.7,
        2,
        True,
        None,
    )


def test_a_constraint_binds_the_answer(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, '"a"', 9)
    whole(client, COMPLETION, prompt="x", json_schema={"type": "string"})
    assert engine.requests[-1].constraint is not None
    whole(client, COMPLETION, prompt="x", grammar='root ::= "\\"a\\""')
    assert engine.requests[-1].constraint is not None
    says(engine, "no", 9)
    assert refused(client, COMPLETION, 500, prompt="x", grammar='root ::= "a"')["code"] == "constraint_broken"
    broken = events(client, COMPLETION, prompt="x", grammar='root ::= "a"')
    assert broken[-1]["error"]["code"] == "constraint_broken"


def test_a_gap_has_what_is_around_it_and_other_files(client: TestClient, engine: ScriptedEngine) -> None:
    extra = [{"filename": "a.py", "text": "A"}, {"text": "B"}]
    body: Json = {"input_prefix": "def f():\n", "input_suffix": "\n<s>", "prompt": "  return"}
    whole(client, INFILL, **body, input_extra=extra)
    files: list[str | int] = [REPOSITORY, "myproject\n", FILE, "a.py\nA", FILE, "tmp\nB", FILE, "filename\n"]
    gap: list[str | int] = [PREFIX, "def f():\n  return", SUFFIX, "\n<s>", MIDDLE]
    assert texts(engine.requests[-1]) == files + gap
    whole(client, INFILL, input_prefix=[97, "b"], input_suffix=["c", 257])
    assert texts(engine.requests[-1])[-6:] == [PREFIX, "ab", SUFFIX, "c", 257, MIDDLE]


def test_a_model_without_tokens_for_files_gets_snippets(engine: ScriptedEngine) -> None:
    with app_over(engine, model=loaded_model(engine, vocab=FillingVocab(with_files=False))) as client:
        whole(client, INFILL, input_prefix="a", input_suffix="b", input_extra=[{"text": "A"}, {"text": "B"}])
    snippet = "\n\n--- snippet ---\n\n"
    assert texts(engine.requests[-1]) == [f"{snippet}A{snippet}B", PREFIX, "a", SUFFIX, "b", MIDDLE]


def test_a_model_without_tokens_for_gaps_fills_none(engine: ScriptedEngine) -> None:
    with app_over(engine) as client:
        error = refused(client, INFILL, 501, input_prefix="a", input_suffix="b")
    assert (error["code"], error["type"]) == ("not_supported", "not_supported_error")


def test_of_long_texts_what_is_near_the_gap_is_taken(client: TestClient, engine: ScriptedEngine) -> None:
    extra = [{"text": "x" * 6000, "filename": "f"}, {"text": "y" * 5000, "filename": "g"}]
    whole(client, INFILL, input_prefix="p" * 5000, input_suffix="s" * 5000, prompt="m", input_extra=extra)
    request = engine.requests[-1]
    # 8192 tokens, of which 2048 are the window, and 512 are left for the answer.
    num_others = 8192 - 2048 - 512
    files = [f"g\n{'y' * 5000}", FILE, "filename\n"]
    assert texts(request)[-8:] == [*files, PREFIX, f"{'p' * 1536}m", SUFFIX, "s" * 509, MIDDLE]
    assert len(request.token_ids) == num_others + 1536 + 1 + 509 + 3
    huge = "z" * 900_000
    whole(client, INFILL, input_prefix=huge, input_suffix=huge, input_extra=[{"text": huge}] * 2)
    assert len(engine.requests[-1].token_ids) == num_others + 1536 + 510 + 3
    for length in (9000, 900_000):
        error = refused(client, INFILL, input_prefix="", input_suffix="", prompt="m" * length)
        assert (error["param"], error["code"]) == ("prompt", "context_length_exceeded")


def test_many_pieces_are_read_as_far_as_they_count(
    client: TestClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FakeVocab.token_array
    texts_read: list[str] = []

    def counted(self: FakeVocab, text: str, **options: bool) -> Any:  # noqa: ANN401
        texts_read.append(text)
        return read(self, text, **options)

    monkeypatch.setattr(FakeVocab, "token_array", counted)
    error = refused(client, COMPLETION, prompt=["a", 1] * 30_000)
    assert error["code"] == "context_length_exceeded"
    assert len(texts_read) == 8192 // 2 + 1
    texts_read.clear()
    whole(client, INFILL, input_prefix=[*[""] * 60_000, "p"], input_suffix=["s", *[""] * 60_000])
    assert texts_read.count("") < 10
    assert texts(engine.requests[-1])[-5:] == [PREFIX, "p", SUFFIX, "s", MIDDLE]


def test_what_a_gap_needs_is_asked_for(client: TestClient) -> None:
    for body, param in (
        ({"input_suffix": "b"}, "input_prefix"),
        ({"input_prefix": "a"}, "input_suffix"),
        ({"input_prefix": 1, "input_suffix": ""}, "input_prefix"),
        ({"input_prefix": "", "input_suffix": "", "input_extra": [{"filename": "x"}]}, "input_extra[0].text"),
        ({"input_prefix": "", "input_suffix": "", "input_extra": [{"text": 1}]}, "input_extra[0].text"),
        ({"input_prefix": "", "input_suffix": "", "prompt": ["a"]}, "prompt"),
        ({"input_prefix": ["a", 999], "input_suffix": ""}, "input_prefix[1]"),
    ):
        assert refused(client, INFILL, **body)["param"] == param


@pytest.mark.parametrize(
    ("path", "body", "told"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
def test_bodies_of_clients_are_answered(client: TestClient, path: str, body: Json, told: set[str]) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert set(filter(None, answer.headers.get(IGNORED, "").split(", "))) == told


def test_editors_read_what_they_asked_for(client: TestClient, engine: ScriptedEngine) -> None:
    says(engine, "a + b", 2)
    filled = whole(client, INFILL, **VIM_FILLS)
    assert list(filled) == list(READ_BY_VIM)
    assert filled["content"] == "a + b"
    params = engine.requests[-1].params
    assert (params.samplers, params.temperature, params.n_indent) == (("top_k", "top_p", "infill"), 1.0, 4)
    assert (params.line_seconds, params.max_tokens, params.top_p) == (0.25, 128, 0.9)
    # The next gap begins with what was prepared, so that it is computed already.
    whole(client, INFILL, **VIM_PREPARES)
    prepared = engine.requests[-1].token_ids
    assert engine.requests[-1].params.max_tokens == 0
    shared = prepared[: prepared.index(PREFIX)]
    assert engine.requests[-2].token_ids[: len(shared)] == shared
    several = whole(client, INFILL, **VSCODE_FILLS)
    assert [one["content"] for one in several] == ["a + b"] * 3
    assert {"tokens_cached", "timings", "generation_settings"} <= several[0].keys()


def test_a_thought_is_ended_while_it_is_thought(engine: ScriptedEngine) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    ended = {"action": "reasoning_end"}
    with app_over(engine, ALWAYS) as client:
        for is_controlled, answer in (
            (True, {"success": True}),
            (False, {"success": False, "message": "reasoning control not enabled for this completion"}),
        ):
            engine.hold_after = 0
            kwargs = {"json": {**asked, "reasoning_control": is_controlled}}
            chatting = threading.Thread(target=client.post, args=(CHAT,), kwargs=kwargs)
            chatting.start()
            wait_until(lambda: bool(engine.running))
            (running,) = engine.running
            bodies = [{"id": running, **ended, **named} for named in ({}, {"model": "fake"}, {"model": None})]
            found = [client.post(CONTROL, json=body).json() for body in (*bodies, {"id": "other", **ended})]
            engine.hold_after = None
            chatting.join(PATIENCE)
            unknown = {"success": False, "message": "no active completion for this id"}
            assert found == [answer, answer, answer, unknown]
            assert whole(client, CONTROL, id=running, **ended) == unknown
        assert len(set(engine.ended_thoughts)) == 2
        for body, param in (
            ({"id": "x"}, "action"),
            ({"action": "reasoning_end"}, "id"),
            ({"id": "", "action": "reasoning_end"}, "id"),
            ({"id": "x", "action": "stop"}, "action"),
        ):
            assert refused(client, CONTROL, **body)["param"] == param
        assert refused(client, CONTROL, 404, id="x", **ended, model="none")["code"] == "model_not_found"


def test_props_tell_what_a_model_is_like(client: TestClient) -> None:
    props = client.get("/props").json()
    LlamaProps.model_validate(props)
    defaults = props["default_generation_settings"]
    assert defaults["n_ctx"] == 8192
    assert (defaults["params"]["temperature"], defaults["params"]["n_predict"]) == (0.8, -1)
    assert (props["total_slots"], props["model_alias"], props["eos_token"]) == (4, "fake", "<|im_end|>")
    assert client.get("/props?model=fake&autoload=false").json() == props
    assert client.get("/props?model=none").status_code == 404
    assert client.get("/props?autoload=maybe").json()["error"]["param"] == "autoload"
    for path in ("/props", "/slots/0?action=erase"):
        assert refused(client, path, 501)["code"] == "not_supported"


def test_to_look_at_a_model_does_not_load_it() -> None:
    models = [loaded_model(name=name) for name in ("a", "b")]
    registry = ModelRegistry([spec_of(model, preload=False) for model in models])
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.get("/props").json()["error"]["code"] == "missing_required_parameter"
        for path in ("/props?model=a", "/slots?model=a", "/slots?model=a&autoload=false"):
            unloaded = client.get(path)
            assert (unloaded.status_code, unloaded.json()["error"]["code"]) == (400, "model_not_loaded")
        assert registry.loaded("a") is None
        assert client.get("/slots?model=a&autoload=true").status_code == 200
        assert registry.loaded("a") is not None
        assert client.get("/props?model=a").status_code == 200


def test_slots_tell_how_busy_a_model_is_and_nothing_of_texts(
    client: TestClient, engine: ScriptedEngine
) -> None:
    assert [slot["is_processing"] for slot in client.get("/slots").json()] == [False] * 4
    engine.running = {"a", "b"}
    slots = client.get("/slots").json()
    assert slots == [
        {"id": number, "n_ctx": 8192, "speculative": False, "is_processing": number < 2}
        for number in range(4)
    ]
    assert client.get("/slots?fail_on_no_slot=true").json() == slots
    engine.running = set("abcd")
    busy = client.get("/slots?fail_on_no_slot=true")
    assert (busy.status_code, busy.json()["error"]["code"]) == (503, "overloaded")
    assert "retry-after" in busy.headers
    assert all(slot["is_processing"] for slot in client.get("/slots").json())
    engine.running = set()


def test_vectors_in_llama_cpps_form(client: TestClient) -> None:
    one = whole(client, "/embedding", content="abc", embd_normalize=2)
    several = whole(client, "/embedding", content=["abc", "d"])
    assert [set(entry) for entry in several] == [{"index", "embedding"}] * 2
    assert [entry["index"] for entry in several] == [0, 1]
    assert one == several[:1]
    (vector,) = one[0]["embedding"]
    expected = client.post("/v1/embeddings", json={"input": "abc"}).json()["data"][0]["embedding"]
    assert vector == pytest.approx(expected, abs=1e-6)
    assert refused(client, "/embedding", content=["a", ""])["param"] == "content[1]"
    assert refused(client, "/embedding", content="a", embd_normalize=-1)["param"] == "embd_normalize"
