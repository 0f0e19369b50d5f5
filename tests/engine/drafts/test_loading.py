"""Which files can be draft models, and what they take."""

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import Reader, Want
from caravan.engine.drafts.loading import DraftModelError, LoadedDraftModel, load_draft_model
from caravan.engine.kv.radix_tree import CacheScope
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from caravan.models import resident
from caravan.sizing.sizes import resources, sizes_of

from tests.conftest import TinyModels
from tests.engine.test_memory_taken import measured


def _config(model: Path, draft: Path) -> EngineConfig:
    return EngineConfig(
        model_path=str(model),
        draft_model_path=str(draft),
        num_cells=256,
        batch_size=64,
        max_sequences=4,
        max_running=4,
        num_threads=1,
    )


def _loaded(model: Path, draft: Path) -> LoadedDraftModel:
    opened = Model(model, vocab_only=True)
    try:
        return LoadedDraftModel(_config(model, draft), opened.vocab)
    finally:
        opened.close()


def test_a_model_drafts_what_it_writes_itself(tiny_models: TinyModels) -> None:
    """Over real cells that are cut and copied, as it does with one text from the beginning."""
    loaded = _loaded(tiny_models["qwen2"], tiny_models["llama"])
    text, reader = list(range(40, 90)), Reader(CacheScope())
    for other in (7, 8, 9):
        (found,) = loaded.drafts.propose_all([Want(reader, text, 4)])
        assert found == _written(tiny_models["llama"], text, 4)
        text += [*found[:2], other]
    loaded.close()
    loaded.close()


def _written(path: Path, text: list[int], most: int) -> list[int]:
    model = Model(path)
    context = Context(model, num_cells=256, batch_size=128, max_sequences=1, num_threads=1)
    batch, written = Batch(128), list[int]()
    while len(written) < most:
        context.clear()
        batch.clear()
        batch.add(0, 0, [*text, *written], wants_logits=True)
        assert context.decode(batch) is DecodeStatus.OK
        written.append(int(np.argmax(context.logits()[0])))
    context.close()
    model.close()
    return written


def test_other_tokens_are_refused_by_name(tiny_models: TinyModels, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = tiny_models["llama"].read_bytes()
    other.write_bytes(data.replace(b"<|endoftext|>", b"<|endoftexx|>", 1))
    name = tiny_models["qwen2"].name
    with pytest.raises(
        DraftModelError, match=rf"^other\.gguf cannot be the draft model of {name}: .*endoftexx"
    ):
        _loaded(tiny_models["qwen2"], other)
    with pytest.raises(DraftModelError, match="tokens instead of"):
        _loaded(tiny_models["qwen2"], resident.model_path())


def test_a_memory_that_cannot_be_cut_is_refused_by_name(tiny_models: TinyModels) -> None:
    with pytest.raises(DraftModelError, match=r"^mamba.*cannot be a draft model.*cut"):
        _loaded(tiny_models["qwen2"], tiny_models["mamba"])


def test_a_model_without_drafts_refuses_one_by_name(tiny_models: TinyModels) -> None:
    model = Model(tiny_models["gemma3"])
    config = _config(tiny_models["gemma3"], tiny_models["llama"])
    context = Context(model, num_cells=256, batch_size=64, max_sequences=2, num_threads=1)
    for text_context, why in ((context, "cannot be cut"), (None, "makes no text")):
        with pytest.raises(DraftModelError, match=rf"^gemma3-.* has no use for a draft model: .*{why}"):
            load_draft_model(config, model.vocab, text_context)
    unnamed = msgspec.structs.replace(config, draft_model_path="")
    assert load_draft_model(unnamed, model.vocab, None) is None
    context.close()
    model.close()


def test_sizes_count_the_draft_model(tiny_models: TinyModels) -> None:
    config = _config(tiny_models["qwen2"], tiny_models["llama"])
    with_it = sizes_of(config, resources()).memory
    assert with_it.draft_model > tiny_models["llama"].stat().st_size
    assert with_it.at_start == with_it.weights + with_it.cells + with_it.compute + with_it.draft_model


def test_an_engine_takes_no_more_for_it_than_is_estimated(tiny_models: TinyModels) -> None:
    used, estimated = [], []
    for draft in ("", str(tiny_models["llama"])):
        config = EngineConfig(
            model_path=str(tiny_models["qwen2"]), draft_model_path=draft, num_cells=1 << 15, num_threads=1
        )
        taken, engine = asyncio.run(measured(config, is_worked=True))
        assert engine.sizes is not None
        used.append(taken)
        estimated.append(engine.sizes.memory.at_start)
    more = estimated[1] - estimated[0]
    assert 0 < used[1] - used[0] <= more
