"""LoRA adapters of a whole server: by names of their own, and by the field `lora`."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import EngineStartError
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.live_server import live_server
from tests.tiny_adapter import write_adapter, write_merged
from tests.waiting import PATIENCE
from tests.web.batches.conftest import begin, line, rows, wait_for

_OLLAMA = {"stream": False, "options": {"num_predict": 8, "temperature": 0}}


@pytest.fixture(scope="module")
def folder(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of a model, and some of them merged into it."""
    folder, path = tmp_path_factory.mktemp("adapters"), tiny_models["qwen2"]
    write_adapter(folder / "chat.gguf", path, 2)
    for name, merged, seed in (("sql", "merged", 1), ("late", "late-merged", 3)):
        write_merged(folder / f"{merged}.gguf", path, write_adapter(folder / f"{name}.gguf", path, seed))
    return folder


@pytest.fixture(scope="module")
def client(tiny_models: TinyModels, folder: Path) -> Generator[httpx.Client, None, None]:
    path = tiny_models["qwen2"]
    adapters = {name: str(folder / f"{name}.gguf") for name in ("sql", "chat")}
    tables = [
        {"path": str(path), "id": "tiny", "lora": adapters},
        *({"path": str(folder / f"{name}.gguf"), "id": name} for name in ("merged", "late-merged")),
    ]
    settings = Settings.model_validate({"models": tables, "context_size": 256, "threads": 1})
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


def post(client: httpx.Client, model: str, **fields: Any) -> httpx.Response:  # noqa: ANN401
    body = {"model": model, "prompt": "once upon a time", "max_tokens": 12, "temperature": 0}
    return client.post("/v1/completions", json={**body, "ignore_eos": True, **fields})


def text(client: httpx.Client, model: str, **fields: Any) -> str:  # noqa: ANN401
    answer = post(client, model, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model
    return str(answer.json()["choices"][0]["text"])


def test_names_and_fields_choose_adapters(client: httpx.Client) -> None:
    plain, sql, chat = (text(client, name) for name in ("tiny", "sql", "chat"))
    assert len({plain, sql, chat}) == 3
    assert sql == text(client, "merged")
    assert text(client, "tiny", lora=[{"name": "sql"}]) == sql
    assert text(client, "tiny", lora=[{"id": 1, "scale": 1}]) == chat
    assert text(client, "sql", lora=[]) == plain
    assert text(client, "sql", lora=[{"name": "sql", "scale": 0}]) == plain
    both = text(client, "chat", lora=[{"name": "chat"}, {"name": "sql", "scale": 0.5}])
    assert both not in (plain, sql, chat)
    assert text(client, "tiny", lora=[{"name": "sql", "scale": 0.5}, {"id": 1}]) == both


def test_adapters_are_listed_behind_their_model(client: httpx.Client) -> None:
    listed = {card["id"]: card for card in client.get("/v1/models").json()["data"]}
    assert list(listed)[:4] == ["tiny", "sql", "chat", "merged"]
    assert [card["parent"] for card in listed.values()][:4] == [None, "tiny", "tiny", None]
    assert [card["root"] for card in listed.values()][:4] == ["tiny", "tiny", "tiny", "merged"]
    assert client.get("/v1/models/sql").json()["parent"] == "tiny"
    assert client.get("/v1/models/tiny").json()["parent"] is None
    abilities = [listed[name]["capabilities"] for name in ("tiny", "sql")]
    assert set(abilities[0]) - set(abilities[1]) == {"embedding"}


@pytest.mark.parametrize(
    ("lora", "param", "message"),
    [
        ([{"name": "x"}], "lora[0].name", "'tiny' has 'sql', 'chat'"),
        ([{"id": 2}], "lora[0].id", "'tiny' has 'sql', 'chat'"),
        ([{"scale": 1}], "lora[0]", "needs a 'name' or an 'id'"),
        ([{"name": "sql", "id": 0}], "lora[0]", "needs a 'name' or an 'id'"),
        ([{"name": "sql"}, {"id": 0}], "lora[1]", "a second time"),
        ([{"name": "sql", "scale": 1e9}], "lora[0].scale", "100"),
        ("sql", "lora", "array"),
    ],
)
def test_what_is_no_adapter_is_refused_by_its_field(
    client: httpx.Client, lora: object, param: str, message: str
) -> None:
    answer = post(client, "tiny", lora=lora)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], message in error["message"]) == (param, True), error
    assert post(client, "merged", lora=[{"name": "sql"}]).json()["error"]["param"] == "lora[0].name"


def test_vectors_are_the_models_own(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "sql", "input": "a"})
    assert answer.status_code == 400
    assert "is an adapter" in answer.json()["error"]["message"]
    assert client.post("/v1/embeddings", json={"model": "tiny", "input": "a"}).status_code == 200


def test_chats_may_be_asked_of_an_adapter(client: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0}
    answers = [
        client.post("/v1/chat/completions", json={"model": name, **body}).json()["choices"][0]["message"]
        for name in ("tiny", "sql", "chat", "merged")
    ]
    assert answers[1] == answers[3]
    assert answers[0] != answers[1] != answers[2]


def test_other_protocols_have_adapters_too(client: httpx.Client) -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0}
    for path, body in (
        ("/v1/messages", chat),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 16, "temperature": 0, "store": False}),
        ("/completion", {"prompt": "hi", "n_predict": 8, "temperature": 0}),
        ("/api/generate", {**_OLLAMA, "prompt": "hi", "raw": True}),
        ("/api/chat", {**_OLLAMA, "messages": chat["messages"]}),
    ):

        def said(model: str, path: str = path, body: dict[str, Any] = body, **fields: Any) -> object:  # noqa: ANN401
            answer = client.post(path, json={**body, "model": model, **fields})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            if path.startswith("/api"):
                assert told["model"] == model
                return told.get("response") or told["message"]["content"]
            if path == "/v1/responses":
                return told["output"][0]["content"][0]["text"]
            return told["content"] if path == "/completion" else told["content"][0]["text"]

        assert said("sql") == said("merged") != said("tiny")
        if path.startswith("/api"):
            assert said("sql:latest") == said("merged")
        else:
            assert said("tiny", lora=[{"name": "sql"}]) == said("merged")


def test_decisions_are_those_of_the_adapter(client: httpx.Client) -> None:
    question = {"type": "predicate", "instructions": "It is so."}
    told = [
        client.post("/v1/decisions", json={"model": name, "input": "a", "questions": [question]}).json()
        for name in ("tiny", "sql", "merged")
    ]
    assert [each["model"] for each in told] == ["tiny", "sql", "merged"]
    plain, sql, merged = (each["answers"][0]["probability"] for each in told)
    assert sql == pytest.approx(merged, rel=0.01)
    assert plain != pytest.approx(sql, rel=0.1)


def test_lines_of_a_batch_may_be_asked_of_an_adapter(client: httpx.Client) -> None:
    body = {
        "model": "sql",
        "prompt": "once upon a time",
        "max_tokens": 12,
        "temperature": 0,
        "ignore_eos": True,
    }
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none") as asking:
        ended = wait_for(asking, begin(asking, [line("a", "/v1/completions", **body)], "/v1/completions"))
        (row,) = rows(asking, ended.output_file_id)
    assert ended.model == "sql"
    assert row["response"]["body"]["choices"][0]["text"] == text(client, "merged")


def test_clients_of_llama_cpp_and_ollama_are_told_of_adapters(client: httpx.Client) -> None:
    props = client.get("/props", params={"model": "chat"}).json()
    assert props["model_alias"] == "chat"
    assert props["default_generation_settings"]["params"]["lora"] == [{"id": 1, "scale": 1.0}]
    body = {"model": "tiny", "prompt": "a", "n_predict": 1, "lora": [{"id": 1, "scale": 0.5}, {"id": 0}]}
    settings = client.post("/completion", json=body).json()["generation_settings"]
    assert settings["lora"] == [{"id": 1, "scale": 0.5}, {"id": 0, "scale": 1.0}]
    names = [model["name"] for model in client.get("/api/tags").json()["models"]]
    assert names[:3] == ["tiny:latest", "sql:latest", "chat:latest"]
    for path in ("/api/embed", "/embedding"):
        asked = {"model": "sql", "input" if path == "/api/embed" else "content": "a"}
        assert client.post(path, json=asked).status_code == 400


def test_a_file_that_is_no_adapter_ends_the_start(tiny_models: TinyModels) -> None:
    path = str(tiny_models["qwen2"])
    engine = AsyncEngine(EngineConfig(model_path=path, adapters=(("bad", path),)))
    with pytest.raises(EngineStartError, match=r"expect general\.type to be 'adapter'"):
        asyncio.run(engine.start())


def test_an_adapter_is_added_while_the_server_runs(client: httpx.Client, folder: Path) -> None:
    """By an administrator: without keys, whoever is on this machine. It outlives its engine's process."""
    add = "/admin/models/tiny/adapters"
    late = {"name": "late", "path": str(folder / "late.gguf")}
    assert post(client, "late").status_code == 404
    answer = client.post(add, json=late)
    assert (answer.status_code, answer.json().get("parent")) == (200, "tiny"), answer.text
    found = text(client, "late")
    assert found == text(client, "tiny", lora=[{"id": 2}]) == text(client, "late-merged")
    assert found != text(client, "tiny")
    for body, param in (
        (late, "name"),
        ({**late, "name": "merged"}, "name"),
        ({"name": "x", "path": str(folder / "late-merged.gguf")}, "path"),
        ({"name": "x", "path": str(folder / "nowhere.gguf")}, "path"),
        ({"name": "x", "path": str(folder)}, "path"),
        ({"name": "x y", "path": "a"}, "name"),
        ({"name": "x"}, "path"),
    ):
        refused = client.post(add, json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
    client.post("/admin/models/tiny/unload")
    assert text(client, "late") == found
