"""Keys, turns and limits of waiting on a real engine: who is served when, and who is not harmed."""

import contextlib
import json
import logging
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file as keys
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.models import ModelRegistry, registry_of
from caravan_schemas.errors import ErrorResponse

from tests.conftest import TinyModels
from tests.live_server import engine_of, live_server
from tests.waiting import wait_until

TEXT = "/v1/completions"
# A text that ends only when its client leaves, as far as these tests are concerned.
ENDLESS = 60_000
PUBLIC = "You answer the customers of a shop for lamps. " * 4 + "Be brief"


@dataclass(frozen=True)
class Keyed:
    """Models that compute one text at a time: `long` lets many wait, `short` two, `brief` nobody for long."""

    registry: ModelRegistry
    keys_file: Path
    client: httpx.Client

    def key(self, name: str, **fields: object) -> dict[str, str]:
        """Makes a key; the header that shows it."""
        return {"Authorization": f"Bearer {keys.add(self.keys_file, name=name, **fields)}"}

    def tokens(self, text: str) -> list[int]:
        model = self.registry.loaded("long")
        assert model is not None
        return model.vocab.tokenize(text, add_special=False, parse_special=False)

    def ask(self, model: str, headers: dict[str, str], **fields: object) -> httpx.Response:
        return self.client.post(TEXT, json=body(model) | fields, headers=headers)

    @contextlib.contextmanager
    def stream(self, model: str, headers: dict[str, str], **fields: object) -> Generator["Lines", None, None]:
        """A stream that has its turn: its first event has come."""
        wanted = body(model) | {"stream": True} | fields
        with self.client.stream("POST", TEXT, json=wanted, headers=headers) as response:
            assert response.status_code == 200, response.read()
            lines = (line for line in response.iter_lines() if line.startswith("data: "))
            next(lines)
            yield lines

    def wait_for_queue(self, model: str, num_waiting: int) -> None:
        wait_until(lambda: engine_of(self.registry, model).stats().num_waiting == num_waiting)


Lines = Generator[str, None, None]


def body(model: str) -> dict[str, object]:
    return {"model": model, "prompt": "the", "max_tokens": 4, "temperature": 0, "ignore_eos": True}


def refusal(response: httpx.Response) -> str | None:
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    return ErrorResponse.model_validate_json(response.content).error.code


@pytest.fixture(scope="module")
def keyed(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Generator[Keyed, None, None]:
    path, keys_file = tiny_models["qwen2"], tmp_path_factory.mktemp("keys") / "keys.json"
    public = tmp_path_factory.mktemp("public")
    (public / "shop.txt").write_text(f"{PUBLIC}\n")
    keys.add(keys_file, name="nobody")
    settings = Settings(
        models=[
            ModelSettings(path=path, id="long", preload=True),
            ModelSettings(path=path, id="short", max_waiting=2, preload=True),
            ModelSettings(path=path, id="brief", queue_seconds=0.05, preload=True),
        ],
        keys_file=keys_file,
        public_prefixes=public,
        context_size=ENDLESS + 100,
        max_running=1,
        max_sequences=8,
        threads=1,
    )
    registry = registry_of(settings)
    limits = httpx.Limits(max_connections=None)
    with (
        live_server(registry, settings) as address,
        httpx.Client(base_url=address, timeout=300, limits=limits) as client,
    ):
        wait_until(lambda: all(registry.loaded(name) for name in ("long", "short", "brief")))
        yield Keyed(registry, keys_file, client)


def test_keys_share_what_the_operator_marked_and_no_more(keyed: Keyed) -> None:
    """A system message of the folder, by chat, and a raw prompt that begins with the same text."""
    private = "the secret of one key alone " * 4

    def cached(headers: dict[str, str], system: str, said: str, **fields: object) -> int:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        wanted = {"model": "long", "messages": messages, "max_tokens": 1, **fields}
        answer = keyed.client.post("/v1/chat/completions", json=wanted, headers=headers).json()
        return int(answer["usage"]["prompt_tokens_details"]["cached_tokens"])

    eve, frank = keyed.key("eve"), keyed.key("frank")
    assert cached(eve, PUBLIC, private) == 0
    shared = cached(frank, PUBLIC, private)
    num_public = len(keyed.tokens(PUBLIC))
    assert num_public - 3 <= shared <= num_public + 8, "the text and what the template puts before it"
    assert cached(frank, PUBLIC, private) > shared + 20, "what is one's own is shared with oneself"
    assert cached(eve, PUBLIC + " Today.", "Hi") in range(shared - 1, shared + 2)
    assert cached(frank, PUBLIC, "Hi", cache_salt="mine") == 0
    assert cached(eve, private, "Hi") <= 8, "a text that is not marked"
    assert cached(frank, private, "Hi") == 0

    def cached_text(headers: dict[str, str], prompt: str) -> int:
        usage = keyed.ask("long", headers, prompt=prompt).json()["usage"]
        return int(usage["prompt_tokens_details"]["cached_tokens"])

    assert cached_text(eve, f"{PUBLIC}\n{private}") == 0
    assert num_public - 3 <= cached_text(frank, f"{PUBLIC}\n{private}") <= num_public


def test_who_floods_delays_nobody_else(keyed: Keyed, caplog: pytest.LogCaptureFixture) -> None:
    flood, guest = keyed.key("flood"), keyed.key("guest")
    caplog.set_level(logging.INFO, "caravan.requests")
    with ThreadPoolExecutor(31) as pool:
        with keyed.stream("long", flood, max_tokens=ENDLESS):
            many = [pool.submit(keyed.ask, "long", flood) for _ in range(30)]
            keyed.wait_for_queue("long", 30)
            one = pool.submit(keyed.ask, "long", guest)
            keyed.wait_for_queue("long", 31)
        answers = [future.result() for future in (one, *many)]
    assert len({answer.json()["choices"][0]["text"] for answer in answers}) == 1

    def order() -> list[str]:
        ended = [vars(entry)["fields"] for entry in caplog.records if entry.name == "caravan.requests"]
        return [fields["key"] for fields in ended if fields.get("completion_tokens") == 4]

    # A line is written when its answer has been sent.
    wait_until(lambda: len(order()) == 31)
    assert order().count("flood") == 30
    assert order().index("guest") < 3


def test_a_keys_requests_come_in_the_order_that_it_asks_for(keyed: Keyed) -> None:
    """They arrive while another runs, and each ends when it has had its turn; a neighbour's count as well."""
    grace, heidi = keyed.key("grace", max_priority=2), keyed.key("heidi", priority=1)
    asked = [(grace, 3), (grace, 1), (grace, None), (grace, -1), (heidi, 1), (heidi, 0), (grace, -2)]
    turns: list[tuple[dict[str, str], int | None]] = []

    def take_turn(key: dict[str, str], priority: int | None) -> None:
        with keyed.stream("long", key, max_tokens=ENDLESS, priority=priority):
            turns.append((key, priority))

    with ThreadPoolExecutor(len(asked)) as pool, keyed.stream("long", grace, max_tokens=ENDLESS):
        for number, (key, priority) in enumerate(asked, 1):
            pool.submit(take_turn, key, priority)
            keyed.wait_for_queue("long", number)
    # Two keys share the turns of one priority.
    assert turns[0] == (grace, -2)
    assert sorted(turns[1:3], key=asked.index) == [(grace, -1), (heidi, 0)]
    assert sorted(turns[3:5], key=asked.index) == [(grace, None), (heidi, 1)]
    assert turns[5:] == [(grace, 1), (grace, 3)]


def test_a_stream_outlives_its_key(keyed: Keyed) -> None:
    alice = keyed.key("alice")
    whole = keyed.ask("long", alice, max_tokens=400).json()["choices"][0]["text"]
    with keyed.stream("long", alice, max_tokens=400) as lines:
        keys.revoke(keyed.keys_file, "alice")
        assert keyed.ask("long", alice).status_code == 401
        rest = list(lines)
    assert rest[-1] == "data: [DONE]"
    texts = [json.loads(line.removeprefix("data: "))["choices"][0]["text"] for line in rest[:-1]]
    assert texts
    assert whole.endswith("".join(texts))


def test_the_file_is_edited_while_requests_run(keyed: Keyed) -> None:
    bob = keyed.key("bob")
    expected = keyed.ask("long", bob, max_tokens=20).json()["choices"][0]["text"]
    is_over = threading.Event()

    def edit() -> int:
        count = 0
        while not is_over.is_set():
            keys.add(keyed.keys_file, name="passing")
            keys.revoke(keyed.keys_file, "passing")
            count += 1
        return count

    with ThreadPoolExecutor(5) as pool:
        editing = pool.submit(edit)
        asked = [pool.submit(keyed.ask, "long", bob, max_tokens=20) for _ in range(20)]
        texts = {future.result().json()["choices"][0]["text"] for future in asked}
        is_over.set()
        assert editing.result()
    assert texts == {expected}
    sound = keyed.keys_file.read_text()
    keyed.keys_file.write_text(sound[: len(sound) // 2])
    assert keyed.ask("long", bob).status_code == 200, "what makes no sense changes nothing"
    keyed.keys_file.write_text(sound)
    assert keyed.ask("long", bob).status_code == 200


def test_a_full_queue_is_a_503_for_the_one_who_comes_last(keyed: Keyed) -> None:
    carol = keyed.key("carol")
    expected = keyed.ask("short", carol).json()["choices"]
    with ThreadPoolExecutor(2) as pool:
        with keyed.stream("short", carol, max_tokens=ENDLESS) as lines:
            waiting = [pool.submit(keyed.ask, "short", carol) for _ in range(2)]
            keyed.wait_for_queue("short", 2)
            assert refusal(keyed.ask("short", carol)) == "overloaded"
            assert refusal(keyed.ask("short", carol, stream=True)) == "overloaded"
            assert next(lines), "the one that runs goes on"
        assert [future.result().json()["choices"] for future in waiting] == [expected] * 2
    assert keyed.ask("short", carol).json()["choices"] == expected


def test_who_has_waited_too_long_is_told_so(keyed: Keyed) -> None:
    dave = keyed.key("dave")
    # Of the same model. A busy machine may let anybody wait so long, also where nothing else runs.
    expected = keyed.ask("short", dave).json()["choices"]
    with keyed.stream("brief", dave, max_tokens=ENDLESS) as lines:
        assert refusal(keyed.ask("brief", dave)) == "overloaded"
        assert refusal(keyed.ask("brief", dave, stream=True)) == "overloaded"
        assert next(lines), "the one that runs goes on"

    def is_served() -> bool:
        answer = keyed.ask("brief", dave)
        return answer.status_code == 200 and answer.json()["choices"] == expected

    wait_until(is_served)
