"""Conversations with a hybrid model: what of a prompt is taken from memory, and where that is told."""

from collections.abc import Generator

import httpx
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.live_server import live_server
from tests.waiting import PATIENCE

INSTRUCTIONS = {"role": "system", "content": "the wind in the trees and the rain on the roof " * 6}


@pytest.fixture(scope="module")
def hybrid(tiny_models: TinyModels) -> Generator[httpx.Client, None, None]:
    settings = Settings(model=tiny_models["lfm2"], model_id="tiny", context_size=1024, threads=1)
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


def usage(client: httpx.Client, *texts: str) -> tuple[int, int]:
    """Tokens of a conversation's prompt, and those of them that were in memory."""
    roles = ("user", "assistant")
    turns = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    body = {"model": "tiny", "messages": [INSTRUCTIONS, *turns], "max_tokens": 20, "seed": 3}
    told = client.post("/v1/chat/completions", json=body).json()["usage"]
    return told["prompt_tokens"], told["prompt_tokens_details"]["cached_tokens"]


def test_instructions_are_shared_and_turns_gone_on_from(hybrid: httpx.Client) -> None:
    assert usage(hybrid, "one")[1] == 0
    num_tokens, cached = usage(hybrid, "another question of a similar length")
    # All but the message and what comes after it, which is where the turn of the instructions ended.
    assert 0.6 * num_tokens < cached < num_tokens - 20
    again = usage(hybrid, "another question of a similar length")
    assert again[1] > again[0] - 20
    # What the model has said is told otherwise, as where a template leaves its thoughts out.
    assert usage(hybrid, "another question of a similar length", "yes", "why")[1] >= again[1]


def test_where_a_prompt_can_go_on_is_told(hybrid: httpx.Client) -> None:
    usage(hybrid, "one")
    assert hybrid.get("/v1/models/tiny").json()["prefix_reuse"] == "checkpoints"
    lines = hybrid.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("caravan_checkpoint"))
    assert float(values['caravan_checkpoints{model="tiny"}']) >= 1
    assert float(values['caravan_checkpoint_bytes{model="tiny"}']) > 1000
    assert float(values['caravan_checkpoints_used_total{model="tiny"}']) >= 1
