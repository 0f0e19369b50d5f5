"""An activated adapter over HTTP: the answer is that of changing adapters by hand, and the rest is shared."""

from pathlib import Path

import httpx
import numpy as np
from caravan.config.settings import Settings
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.live_server import live_server
from tests.tiny_adapter import write_adapter
from tests.waiting import PATIENCE

PROMPT = list(range(100, 160))
START, LENGTH = 40, 12


def test_an_activated_adapter_begins_with_its_invocation(tiny_models: TinyModels, tmp_path: Path) -> None:
    path, file = tiny_models["qwen2"], tmp_path / "called.gguf"
    write_adapter(file, path, 1, invocation=PROMPT[START : START + 3])
    tables = [{"path": str(path), "id": "tiny", "lora": {"called": str(file)}}]
    settings = Settings.model_validate({"models": tables, "context_size": 256, "threads": 1})
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):

        def answer(model: str) -> tuple[list[int], int]:
            body = {"prompt": PROMPT, "max_tokens": LENGTH, "temperature": 0, "ignore_eos": True}
            told = client.post("/v1/completions", json={"model": model, "return_token_ids": True, **body})
            assert told.status_code == 200, told.text
            cached = told.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
            return told.json()["choices"][0]["token_ids"], cached

        plain, called, again = answer("tiny"), answer("called"), answer("called")
    assert called == (_by_hand(path, file), START)
    assert again == (called[0], len(PROMPT) - 1)
    assert plain == (_by_hand(path), 0)
    assert plain[0] != called[0]


def _by_hand(path: Path, adapter: Path | None = None) -> list[int]:
    """Decode greedily, with the adapter, if there is one, from its invocation on."""
    model = Model(path)
    files = [] if adapter is None else [("called", str(adapter))]
    context = Context(model, num_cells=256, batch_size=64, max_sequences=1, num_threads=1, adapters=files)
    ends = list(model.vocab.end_of_generation_ids)
    tokens, batch, done = list(PROMPT), Batch(64), 0
    for end in (START, *range(len(PROMPT), len(PROMPT) + LENGTH)):
        batch.clear()
        batch.add(0, done, tokens[done:end], wants_logits=True)
        assert context.decode(batch) is DecodeStatus.OK
        row = context.logits()[0].copy()
        row[ends] = -np.inf
        context.use_adapters([(name, 1.0) for name, _ in files])
        done = end
        if end >= len(PROMPT):
            tokens.append(int(np.argmax(row)))
    context.close()
    model.close()
    return tokens[len(PROMPT) :]
