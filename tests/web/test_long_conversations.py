"""Conversations of thousands of messages: refused before they are work, or written where nobody waits."""

import dataclasses
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file
from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.prompt_template import CHATML
from caravan.chat.rendering.turns import Conversation
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import FakeVocab, ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "a"}


class _QuickVocab(FakeVocab):
    """Reads every text at once: what is measured is the writing of prompts."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        del add_special, parse_special
        return list(text[:20].encode())


def test_another_keys_chat_does_not_wait_for_long_conversations(tmp_path: Path) -> None:
    """The template's process and the threads in which prompts are written are others'."""
    path = tmp_path / "keys.json"
    names = ("m0", "m1", "m2", "alice")
    keys = {name: {"authorization": f"Bearer {keys_file.add(path, name=name)}"} for name in names}
    template = TemplateProcess(CHATML)
    model = dataclasses.replace(loaded_model(vocab=_QuickVocab()), template=template, close=template.close)
    long = {"model": "fake", "messages": [USER, {"role": "assistant", "content": "b"}] * 5_000}
    with (
        live_server(registry_over(model), Settings(keys_file=path)) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(15) as pool,
    ):
        asked = [("/apply-template", {}), ("/tokenize", {}), *[(CHAT, {"truncate_prompt_tokens": 9})] * 3]
        begun = time.monotonic()
        sent = [
            pool.submit(client.post, path, json=long | fields, headers=keys[f"m{number}"])
            for path, fields in asked
            for number in range(3)
        ]
        while not any(each.done() for each in sent):
            time.sleep(0.01)
        waits = []
        while not all(each.done() for each in sent):
            before = time.monotonic()
            answer = client.post(CHAT, json={"model": "fake", "messages": [USER]}, headers=keys["alice"])
            assert answer.status_code == 200
            waits.append(time.monotonic() - before)
        took = time.monotonic() - begun
    statuses = [each.result().status_code for each in sent]
    # What one key may have in memory at once is bounded.
    assert set(statuses) <= {200, 503}
    each_took = took / statuses.count(200)
    waits.sort()
    # One that falls into a moment in which the machine stands still says nothing.
    middle, long_wait = statistics.median(waits), waits[len(waits) * 9 // 10]
    told = f"{len(waits)} chats of {middle:.3f}, {long_wait:.3f} and {waits[-1]:.3f} s"
    print(f"{told} beside {statuses.count(200)} long ones of {each_took:.2f} s")
    assert statuses.count(200) >= 6
    assert middle < each_took / 5
    assert long_wait < took / 5


def test_long_conversations_that_wait_hold_no_places_of_others() -> None:
    model = loaded_model(vocab=_QuickVocab())
    may_go = threading.Event()
    write = model.template.write

    def held(conversation: Conversation, principal: Principal = ANONYMOUS, *, is_long: bool = False) -> str:
        if is_long:
            may_go.wait(PATIENCE)
        return write(conversation, principal)

    model.template.write = held  # type: ignore[method-assign]
    long = {"model": "fake", "messages": [USER] * 1100, "truncate_prompt_tokens": 9}
    with (
        live_server(registry_over(model)) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        sent = [pool.submit(client.post, CHAT, json=long) for _ in range(12)]
        try:
            for _ in range(20):
                answer = client.post(CHAT, json={"model": "fake", "messages": [USER]})
                assert answer.status_code == 200
                time.sleep(0.02)
            assert not any(each.done() for each in sent)
        finally:
            may_go.set()
        assert {each.result().status_code for each in sent} == {200}


@pytest.mark.parametrize(
    ("messages", "fits"),
    [
        pytest.param([USER] * 600, False, id="messages"),
        pytest.param([{"role": "user", "content": "é" * 5000}], False, id="characters"),
        pytest.param(
            [{"role": "system", "content": [{"type": "text", "text": "ab" * 5000}]}], False, id="part"
        ),
        pytest.param([{"role": "user", "content": " \n" * 5000}, USER], True, id="white space is trimmed"),
        pytest.param(
            [USER, {"role": "assistant", "content": f"<think>{'hm' * 5000}</think>b"}, USER],
            True,
            id="thoughts are left out",
        ),
    ],
)
def test_what_cannot_fit_is_not_written(messages: list[dict[str, object]], fits: bool) -> None:
    model = loaded_model(ScriptedEngine(context_size=512))
    asked = []
    write = model.template.write

    def noting(*arguments: object, **named: object) -> str:
        asked.append(arguments)
        return write(*arguments, **named)  # type: ignore[arg-type]

    model.template.write = noting  # type: ignore[method-assign]
    registry = registry_over(model)
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        answer = client.post(CHAT, json={"model": "fake", "messages": messages})
        assert bool(asked) is fits
        if not fits:
            error = answer.json()["error"]
            assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
            assert "at least" in error["message"]
            cut = client.post(CHAT, json={"model": "fake", "messages": messages, "truncate_prompt_tokens": 9})
            assert cut.status_code == 200
            assert client.post("/apply-template", json={"messages": messages}).status_code == 200
