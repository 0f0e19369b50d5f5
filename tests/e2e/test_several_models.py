"""Several real models in one server of which not all fit: streams, swaps, deaths and administration."""

import json
import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.models import ModelRegistry, registry_of
from caravan_schemas.errors import ErrorResponse
from caravan_schemas.models import ModelCard

from tests.conftest import TinyModels
from tests.live_server import engine_of, live_server
from tests.waiting import wait_until

# Long enough for a swap to be asked for in the middle of it.
LONG = 400


@dataclass(frozen=True)
class Several:
    """Models `a`, `b` and `c`, two of which fit, and `cut`, whose weights are cut off."""

    address: str
    registry: ModelRegistry
    client: httpx.Client

    def ask(self, model: str, **fields: object) -> httpx.Response:
        body = {"model": model, "prompt": "the", "max_tokens": 4, "temperature": 0, "ignore_eos": True}
        return self.client.post("/v1/completions", json=body | fields)

    def chosen(self, model: str, **fields: object) -> str:
        answer = self.ask(model, **fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["text"])

    def warm(self, *models: str) -> None:
        """Have these loaded, the last one used last."""
        for model in models:
            self.chosen(model)

    def status(self, model: str) -> str:
        return str(self.client.get(f"/v1/models/{model}").json()["status"])

    def loaded(self) -> str:
        cards = self.client.get("/v1/models").json()["data"]
        return "".join(card["id"] for card in cards if card["status"] == "loaded")

    def administer(self, model: str, verb: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.client.post(f"/admin/models/{model}/{verb}", headers=headers)

    def lines(self, model: str, **fields: object) -> Generator[str, None, None]:
        """The lines of a stream, comments included."""
        body = {"model": model, "prompt": "the", "temperature": 0, "stream": True, "ignore_eos": True}
        with self.client.stream("POST", "/v1/completions", json=body | fields) as answer:
            assert answer.status_code == 200, answer.read()
            yield from (line for line in answer.iter_lines() if line)


@pytest.fixture(scope="module")
def several(
    tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Several, None, None]:
    cut: Path = tmp_path_factory.mktemp("cut") / "cut.gguf"
    cut.write_bytes(tiny_models["qwen2"].read_bytes()[:-1000])
    tables = [
        ModelSettings(path=tiny_models["qwen2"], id="a", aliases=["org/first"]),
        ModelSettings(path=tiny_models["llama"], id="b", defaults={"max_tokens": 2}),
        ModelSettings(path=tiny_models["gemma3"], id="c"),
        ModelSettings(path=cut),
    ]
    settings = Settings(
        models=tables,
        max_loaded=2,
        context_size=512,
        max_sequences=8,
        threads=1,
        sse_ping_seconds=0.05,
        load_wait_seconds=300,
    )
    registry = registry_of(settings)
    with live_server(registry, settings) as address, httpx.Client(base_url=address, timeout=300) as client:
        yield Several(address, registry, client)


def events(lines: list[str]) -> list[str]:
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def text_of(lines: list[str]) -> str:
    data = events(lines)
    assert data[-1] == "[DONE]"
    return "".join(json.loads(event)["choices"][0]["text"] for event in data[:-1])


def test_nothing_is_loaded_before_it_is_asked_for(several: Several) -> None:
    assert several.client.get("/ready").status_code == 200
    assert several.loaded() == ""
    assert several.chosen("org/first")
    assert several.loaded() == "a"
    card = several.client.get("/v1/models/b").json()
    assert card["status"] == "available"
    assert card["defaults"]["max_tokens"] == {"value": 2, "source": "operator"}
    assert several.ask("b", max_tokens=None).json()["usage"]["completion_tokens"] == 2
    assert several.loaded() == "ab"
    again = several.client.get("/v1/models/b").json()
    assert again["chat_template"]["system"]
    unknown = {"chat_template": None, "file": None, "max_draft_tokens": None, "prefix_reuse": None}
    assert {**again, **unknown} == {**card, "status": "loaded"}


def test_a_stream_on_a_cold_model_is_kept_alive_until_it_has_loaded(several: Several) -> None:
    several.warm("a", "b")
    arrived = list(several.lines("c", max_tokens=3))
    assert arrived[0] == ": keep-alive"
    assert text_of(arrived) == several.chosen("c", max_tokens=3)


def test_a_prompt_that_a_cold_model_refuses_is_an_error_event_after_comments(several: Several) -> None:
    several.warm("a", "b")
    arrived = list(several.lines("c", prompt=[10**6]))
    assert arrived[0] == ": keep-alive"
    (event,) = events(arrived)
    assert ErrorResponse.model_validate_json(event).error.param == "prompt[0]"
    assert several.ask("c", prompt=[10**6]).status_code == 400


def test_streams_run_to_their_end_while_another_model_takes_their_place(several: Several) -> None:
    several.chosen("b")
    whole = several.chosen("a", max_tokens=LONG)
    several.chosen("b")
    started = threading.Barrier(4)

    def stream(model: str) -> list[str]:
        arriving = several.lines(model, max_tokens=LONG)
        head = [next(arriving)]
        started.wait(300)
        return [*head, *arriving]

    def swap() -> str:
        started.wait(300)
        return several.chosen("c")

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(stream, model) for model in "aab"]
        swapped = pool.submit(swap)
        texts = [text_of(future.result()) for future in running]
        third = swapped.result()
    assert texts[:2] == [whole, whole]
    assert len(texts[2]) > LONG // 2
    assert several.loaded() in ("ac", "bc")
    assert third == several.chosen("c")
    assert several.chosen("a", max_tokens=LONG) == whole


def test_many_clients_of_more_models_than_fit(several: Several) -> None:
    expected = {model: several.chosen(model, max_tokens=20) for model in "abc"}

    def ask(number: int) -> bool:
        model = "abc"[number % 3]
        if number % 2:
            return text_of(list(several.lines(model, max_tokens=20))) == expected[model]
        return several.chosen(model, max_tokens=20) == expected[model]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(6)))
    assert len(several.loaded()) == 2


def test_a_model_that_cannot_be_loaded_is_a_clear_503_and_harms_nobody(several: Several) -> None:
    before = several.chosen("a")
    for _ in range(2):
        answer = several.ask("cut")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        error = ErrorResponse.model_validate_json(answer.content).error
        assert error.code == "model_unavailable"
        assert error.message == "The model 'cut' could not be loaded; the server's log says why."
    assert several.status("cut") == "failed"
    assert several.chosen("a") == before
    assert several.client.get("/ready").status_code == 200


def test_a_client_names_no_path_and_causes_no_download(several: Several, tiny_models: TinyModels) -> None:
    for name in (str(tiny_models["mamba"]), "mamba-F32", "org/repo:Q4_K_M", "../a", ""):
        answer = several.ask(name)
        # An empty name is none, and with several models one has to be named.
        expected = (404, "model_not_found") if name else (400, "missing_required_parameter")
        assert (answer.status_code, ErrorResponse.model_validate_json(answer.content).error.code) == expected


def test_the_death_of_one_engine_leaves_the_other_alone(several: Several) -> None:
    several.warm("a", "b")
    engines = {name: engine_of(several.registry, name) for name in "ab"}
    pid, restarts = engines["b"].pid, engines["b"].num_restarts
    arriving = several.lines("b", max_tokens=LONG)
    head = [next(arriving)]
    before = engines["a"].num_restarts
    os.kill(engines["a"].pid or 0, signal.SIGKILL)
    assert len(text_of([*head, *arriving])) > LONG // 2
    wait_until(lambda: engines["a"].num_restarts == before + 1)
    wait_until(lambda: several.client.get("/ready").status_code == 200)
    assert several.chosen("a")
    assert (engines["b"].pid, engines["b"].num_restarts) == (pid, restarts)


def test_loading_and_unloading_by_hand(several: Several) -> None:
    several.chosen("a")
    pid = engine_of(several.registry, "a").pid
    card = ModelCard.model_validate_json(several.administer("org/first", "unload").content)
    assert (card.id, card.status) == ("a", "available")
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)
    card = ModelCard.model_validate_json(several.administer("a", "load").content)
    assert card.status == "loaded"
    assert several.administer("cut", "load").status_code == 503
    assert several.administer("none", "load").status_code == 404
    foreign = several.administer("a", "unload", headers={"Origin": "https://example.org"})
    assert foreign.status_code == 403
    assert ErrorResponse.model_validate_json(foreign.content).error.code == "origin_not_allowed"
    assert several.status("a") == "loaded"
    paths = several.client.get("/openapi.json").json()["paths"]
    assert {"/admin/models/{model_id}/load", "/admin/models/{model_id}/unload"} <= set(paths)
