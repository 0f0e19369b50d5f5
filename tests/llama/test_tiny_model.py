import filecmp
from pathlib import Path

import gguf
import numpy as np
import pytest
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import MemoryKind, Model

from tests.conftest import TinyModels
from tests.tiny_model import ARCHITECTURES, SLIDING_WINDOW, write_tiny_model

MEMORY_KINDS = {
    "llama": MemoryKind.ATTENTION,
    "qwen2": MemoryKind.ATTENTION,
    "gemma3": MemoryKind.SLIDING_WINDOW,
    "mamba": MemoryKind.RECURRENT,
    "lfm2": MemoryKind.HYBRID,
}


def greedy(model: Model, prompt: list[int], count: int) -> list[int]:
    context = Context(model, num_cells=256, batch_size=64, max_sequences=1, num_threads=1)
    batch = Batch(64)
    known = list(prompt)
    batch.add(0, 0, known, wants_logits=True)
    while len(known) < len(prompt) + count:
        assert context.decode(batch) is DecodeStatus.OK
        known.append(int(context.logits()[0].argmax()))
        batch.clear()
        batch.add(0, len(known) - 1, known[-1:], wants_logits=True)
    context.close()
    return known[len(prompt) :]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_models_load_and_generate_varied_text(tiny_models: TinyModels, architecture: str) -> None:
    model = Model(tiny_models[architecture])
    assert model.memory_kind is MEMORY_KINDS[architecture]
    assert model.sliding_window == (SLIDING_WINDOW if architecture == "gemma3" else 0)
    one = greedy(model, model.vocab.tokenize("Once upon a time", add_special=True, parse_special=True), 32)
    two = greedy(model, model.vocab.tokenize("the end", add_special=True, parse_special=True), 32)
    assert len(set(one)) > 12
    assert len(set(two)) > 12
    assert one != two
    model.close()


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "Q4_0"])
def test_models_can_be_quantized(tiny_models: TinyModels, kind: str) -> None:
    path = tiny_models.quantized("llama", gguf.GGMLQuantizationType[kind])
    assert path.stat().st_size < tiny_models["llama"].stat().st_size
    model = Model(path)
    assert len(set(greedy(model, [1, 2, 3], 16))) > 4
    model.close()


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_quantized_recurrent_layers_take_several_sequences(
    tiny_models: TinyModels, architecture: str
) -> None:
    """Intel AMX's buffers for weights make NaN of this, or crash; `Model` keeps them away."""
    model = Model(tiny_models.quantized(architecture, gguf.GGMLQuantizationType.Q8_0))
    context = Context(model, num_cells=256, batch_size=64, max_sequences=4, num_threads=1)
    batch = Batch(64)
    for seq_id, length in enumerate((9, 3, 14, 1)):
        batch.add(seq_id, 0, list(range(length)), wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    assert np.isfinite(context.logits()).all()
    context.close()
    model.close()


def test_a_seed_always_writes_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_tiny_model(tmp_path / name, "llama", seed=seed)
    assert filecmp.cmp(tmp_path / "a", tmp_path / "b", shallow=False)
    assert not filecmp.cmp(tmp_path / "a", tmp_path / "c", shallow=False)


def test_the_vocabulary_spells_any_text_and_knows_chatml(tiny_models: TinyModels) -> None:
    model = Model(tiny_models["llama"], vocab_only=True)
    vocab = model.vocab
    for text in ("Hello, the inn and you!", "żółć 你好 🎉\n\t", bytes(range(32, 127)).decode()):
        ids = vocab.tokenize(text, add_special=True, parse_special=True)
        assert b"".join(vocab.token_bytes(token_id) for token_id in ids).decode() == text
    marked = vocab.tokenize("<|im_start|> the<|im_end|>", add_special=True, parse_special=True)
    assert [vocab.token_text(token_id) for token_id in marked] == ["<|im_start|>", " the", "<|im_end|>"]
    assert vocab.bos_id is None or not vocab.adds_bos
    assert vocab.eos_id == marked[-1]
    ends = {vocab.token_text(token_id) for token_id in vocab.end_of_generation_ids}
    assert ends == {"<|im_end|>", "<|endoftext|>"}
    assert "<|im_start|>" in (model.chat_template() or "")
    assert model.chat_template("tool_use") is None
    assert np.all([len(vocab.token_bytes(token_id)) > 0 for token_id in range(256)])
    model.close()
