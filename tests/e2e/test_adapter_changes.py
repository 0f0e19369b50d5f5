"""Adapters that come and go while a whole server runs."""

import asyncio
import json
import logging
import os
import signal
import threading
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from caravan.auth.principal import ANONYMOUS
from caravan.config.engine_config import EngineConfig
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.errors import InvalidValueError, ModelNotFoundError
from caravan.models import registry_of
from caravan.models.discovery import CatalogError

from tests.conftest import TinyModels
from tests.engine.started import started
from tests.live_server import live_server
from tests.tiny_adapter import write_adapter
from tests.waiting import PATIENCE, until, wait_until

ADAPTERS = "/admin/models/tiny/adapters"


@pytest.fixture(scope="module")
def folder(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("sql", "one", "two"), 1):
        write_adapter(folder / f"{name}.gguf", tiny_models["qwen2"], seed)
    return folder


@pytest.fixture
def client(tiny_models: TinyModels, folder: Path) -> Generator[httpx.Client, None, None]:
    table = {"path": str(tiny_models["qwen2"]), "id": "tiny", "lora": {"sql": str(folder / "sql.gguf")}}
    settings = Settings.model_validate({"models": [table], "context_size": 2048, "threads": 1})
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


def add(client: httpx.Client, name: str, file: Path) -> httpx.Response:
    return client.post(ADAPTERS, json={"name": name, "path": str(file)})


def ask(client: httpx.Client, model: str, **fields: Any) -> httpx.Response:  # noqa: ANN401
    body = {"model": model, "prompt": "once upon a time " * 20, "max_tokens": 12, "temperature": 0}
    return client.post("/v1/completions", json={**body, "ignore_eos": True, **fields})


def told(client: httpx.Client, model: str, **fields: Any) -> tuple[str, int]:  # noqa: ANN401
    """The text, and how many tokens of the prompt were in the cache."""
    answer = ask(client, model, **fields)
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]["prompt_tokens_details"]
    return answer.json()["choices"][0]["text"], usage["cached_tokens"]


def test_one_that_is_removed_takes_its_prefixes_with_it(client: httpx.Client, folder: Path) -> None:
    """Another file under its name goes on from nothing of it."""
    expected = {}
    for name in ("one", "two"):
        assert add(client, f"as-{name}", folder / f"{name}.gguf").status_code == 200
        expected[name] = told(client, f"as-{name}")[0]
    plain, sql = (told(client, model)[0] for model in ("tiny", "sql"))
    assert len({*expected.values(), plain, sql}) == 4
    assert add(client, "late", folder / "one.gguf").status_code == 200
    assert told(client, "late") == (expected["one"], 0)
    assert told(client, "late")[1] > 0
    gone = client.delete(f"{ADAPTERS}/late")
    assert (gone.status_code, gone.json()) == (200, {"id": "late", "object": "model", "deleted": True})
    assert ask(client, "late").status_code == 404
    assert ask(client, "tiny", lora=[{"name": "late"}]).json()["error"]["param"] == "lora[0].name"
    assert client.delete(f"{ADAPTERS}/late").status_code == 404
    assert add(client, "late", folder / "two.gguf").status_code == 200
    assert told(client, "late") == (expected["two"], 0)
    # Those of others have stayed.
    for model, text in (("tiny", plain), ("sql", sql), ("as-one", expected["one"])):
        assert told(client, model)[0] == text
        assert told(client, model)[1] > 0


def test_those_of_the_settings_go_too_and_stay_away(client: httpx.Client) -> None:
    plain, with_sql = told(client, "tiny")[0], told(client, "sql")[0]
    assert plain != with_sql
    assert client.delete(f"{ADAPTERS}/sql").status_code == 200
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["tiny"]
    client.post("/admin/models/tiny/unload")
    assert ask(client, "sql").status_code == 404
    assert told(client, "tiny")[0] == plain


def test_one_of_a_model_that_is_not_loaded_is_removed_without_loading_it(client: httpx.Client) -> None:
    client.post("/admin/models/tiny/unload")
    assert client.delete(f"{ADAPTERS}/sql").status_code == 200
    assert client.get("/v1/models/tiny").json()["status"] == "available"
    assert ask(client, "sql").status_code == 404


def test_whoever_runs_with_it_ends_as_ever(client: httpx.Client, folder: Path) -> None:
    add(client, "late", folder / "one.gguf")
    long = {"max_tokens": 1500, "stream": True}
    expected = streamed(client, "late", long)
    texts: list[str] = []
    begun = threading.Event()
    running = threading.Thread(target=lambda: texts.append(streamed(client, "late", long, begun)))
    running.start()
    assert begun.wait(PATIENCE)
    removing = threading.Thread(target=client.delete, args=(f"{ADAPTERS}/late",))
    removing.start()
    wait_until(lambda: ask(client, "late").status_code == 404)
    refused = add(client, "late", folder / "two.gguf")
    if not texts:
        assert refused.json()["error"]["param"] == "name"
    running.join()
    removing.join()
    assert texts == [expected]
    if refused.status_code != 200:
        wait_until(lambda: add(client, "late", folder / "two.gguf").status_code == 200)
    assert streamed(client, "late", long) != expected


def streamed(
    client: httpx.Client, model: str, fields: dict[str, Any], begun: threading.Event | None = None
) -> str:
    body = {"model": model, "prompt": "once upon a time", "temperature": 0, "ignore_eos": True, **fields}
    text = ""
    with client.stream("POST", "/v1/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
                if begun is not None:
                    begun.set()
    return text


def test_routers_are_told_which_adapters_run(client: httpx.Client) -> None:
    begun = threading.Event()
    fields = {"max_tokens": 1900, "stream": True}
    running = threading.Thread(target=streamed, args=(client, "sql", fields, begun))
    running.start()
    assert begun.wait(PATIENCE)
    line = next(
        x for x in client.get("/metrics").text.splitlines() if x.startswith("vllm:lora_requests_info")
    )
    running.join()
    assert 'max_lora="1"' in line
    assert 'running_lora_adapters="sql"' in line


def test_a_file_that_is_gone_does_not_keep_the_model_away(
    client: httpx.Client, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor one that is no adapter any more; that one is left out, and comes back with its file."""
    file = tmp_path / "late.gguf"
    file.write_bytes((folder / "one.gguf").read_bytes())
    plain = told(client, "tiny")[0]
    add(client, "late", file)
    found = told(client, "late")[0]
    for harm in (lambda: file.rename(tmp_path / "away"), lambda: file.write_bytes(b"GGUF nothing")):
        harm()
        client.post("/admin/models/tiny/unload")
        with caplog.at_level(logging.WARNING):
            assert told(client, "tiny")[0] == plain
        assert "the adapter 'late' is left out: " in caplog.text
        card = client.get("/v1/models/late").json()
        assert (card["status"], card["parent"]) == ("failed", "tiny")
        assert client.get("/v1/models/tiny").json()["status"] == "loaded"
        for fields in ({"model": "late"}, {"model": "tiny", "lora": [{"name": "late"}]}):
            refused = ask(client, **fields)
            assert refused.status_code == 503, refused.text
            assert "'late' could not be loaded" in refused.json()["error"]["message"]
        question = {"type": "predicate", "instructions": "It is so."}
        body = {"model": "late", "input": "a", "questions": [question]}
        assert client.post("/v1/decisions", json=body).status_code == 503
    (tmp_path / "away").rename(file)
    client.post("/admin/models/tiny/unload")
    assert told(client, "late")[0] == found
    assert client.get("/v1/models/late").json()["status"] == "loaded"
    file.unlink()
    client.post("/admin/models/tiny/unload")
    assert told(client, "tiny")[0] == plain
    assert client.delete(f"{ADAPTERS}/late").status_code == 200
    assert ask(client, "late").status_code == 404


def test_an_engine_that_dies_comes_back_without_an_adapter_whose_file_is_gone(
    tiny_models: TinyModels, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "late.gguf"
    file.write_bytes((folder / "one.gguf").read_bytes())
    kept = (("sql", str(folder / "sql.gguf")),)
    config = EngineConfig(
        model_path=str(tiny_models["qwen2"]), context_size=256, num_threads=1, adapters=kept
    )

    async def live() -> None:
        async with started(config) as engine:
            for name, path in (("late", file), ("two", folder / "two.gguf")):
                await engine.adapters.add(name, str(path))
            for is_there in (False, True):
                file.rename(tmp_path / "away") if not is_there else (tmp_path / "away").rename(file)
                assert engine.pid is not None
                num_restarts = engine.num_restarts
                os.kill(engine.pid, signal.SIGKILL)
                await until(partial(is_back, engine, num_restarts))
                assert set(engine.missing_adapters) == (set() if is_there else {"late"})
            await engine.adapters.remove("late")
            await engine.adapters.remove("sql")
            assert [name for name, _ in engine.config.added_adapters] == ["two"]
            assert engine.config.adapters == ()

    asyncio.run(live())


def test_the_books_of_an_engine_at_rest_are_told_when_adapters_change(
    tiny_models: TinyModels, folder: Path
) -> None:
    config = EngineConfig(model_path=str(tiny_models["qwen2"]), context_size=256, num_threads=1)

    async def live() -> None:
        async with started(config) as engine, asyncio.timeout(PATIENCE):
            for number, name in enumerate(("sql", "one", "two"), 1):
                await engine.adapters.add(name, str(folder / f"{name}.gguf"))
                await until(partial(has_adapters, engine, number))
            await engine.adapters.remove("one")
            await until(partial(has_adapters, engine, 2))

    asyncio.run(live())


def test_an_adapter_that_goes_while_its_engine_starts_again_is_gone(
    tiny_models: TinyModels, folder: Path
) -> None:
    """The process that is being started has been told of it already."""
    table = {"path": str(tiny_models["qwen2"]), "id": "tiny", "preload": True}
    options = {"models": [{**table, "lora": {"sql": str(folder / "sql.gguf")}}], "context_size": 256}
    registry = registry_of(Settings.model_validate({**options, "threads": 1}))

    async def live() -> None:
        await registry.start()
        (slot,) = registry._slots
        try:
            assert slot.model is not None
            engine = slot.model.engine
            assert isinstance(engine, AsyncEngine)
            assert engine.pid is not None
            need = slot.need.total
            opened = engine._supervisor.opened
            opened.clear()
            os.kill(engine.pid, signal.SIGKILL)
            await opened.wait()
            await registry.remove_adapter("tiny", "sql", ANONYMOUS)
            assert engine.is_ready
            assert engine.config.adapters == ()
            assert slot.need.total == need - (folder / "sql.gguf").stat().st_size
            # Nor has the engine kept one of this name.
            await registry.add_adapter("tiny", "sql", folder / "one.gguf", ANONYMOUS)
        finally:
            await registry.close()

    asyncio.run(live())


def has_adapters(engine: AsyncEngine, count: int) -> bool:
    return engine.stats().num_adapters == count


def is_back(engine: AsyncEngine, num_restarts: int) -> bool:
    return engine.is_ready and engine.num_restarts > num_restarts


def test_what_cannot_be_offered_is_not_added_and_what_is_counts_as_memory(
    tiny_models: TinyModels, folder: Path, tmp_path: Path
) -> None:
    """The template is read again for the model's next load, and may be gone by then."""
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages[0].content }}")
    table = {"path": str(tiny_models["qwen2"]), "id": "tiny", "chat_template": str(template), "preload": True}
    options = {"models": [table], "context_size": 256, "threads": 1}
    registry = registry_of(Settings.model_validate(options))
    file = folder / "one.gguf"

    async def add() -> None:
        await registry.start()
        (slot,) = registry._slots
        try:
            need = slot.need.total
            template.rename(tmp_path / "gone")
            with pytest.raises(CatalogError, match="cannot be read"):
                await registry.add_adapter("tiny", "late", file, ANONYMOUS)
            (tmp_path / "gone").rename(template)
            await registry.add_adapter("tiny", "late", file, ANONYMOUS)
            assert slot.need.total == need + file.stat().st_size
            await registry.unload("tiny", ANONYMOUS)
            async with registry.holding("tiny", ANONYMOUS):
                assert slot.need.total == need + file.stat().st_size
            with pytest.raises(ModelNotFoundError, match="no adapter 'other'"):
                await registry.remove_adapter("tiny", "other", ANONYMOUS)
            await registry.remove_adapter("late", "late", ANONYMOUS)
            assert slot.need.total == need
            # As if another model had taken all but a little.
            registry._adapters._memory_budget = need + file.stat().st_size - 1
            with pytest.raises(InvalidValueError, match=r"'path' needs .* MiB of memory, and "):
                await registry.add_adapter("tiny", "late", file, ANONYMOUS)
            assert not slot.spec.adapters
            registry._adapters._memory_budget += 1
            # Together they would be too much.
            both = [registry.add_adapter("tiny", name, file, ANONYMOUS) for name in ("late", "more")]
            outcomes = await asyncio.gather(*both, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [type(None), InvalidValueError]
        finally:
            await registry.close()

    asyncio.run(add())
