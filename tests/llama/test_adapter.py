"""LoRA adapters against models that have them merged into their weights."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import gguf
import numpy as np
import pytest
from caravan.llama.adapter import Adapter, AdapterError
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.conftest import TinyModels
from tests.llama.native import text
from tests.tiny_adapter import write, write_adapter, write_merged

Floats = NDArray[np.float32]
Logits = Callable[..., Floats]
PROMPT = text(3, 40)


@pytest.fixture
def opened() -> Iterator[Callable[..., Context]]:
    with ExitStack() as stack:

        def make(path: Path, **adapters: Path) -> Context:
            model = Model(path)
            stack.callback(model.close)
            files = [(name, str(file)) for name, file in adapters.items()]
            context = Context(
                model, num_cells=256, batch_size=64, max_sequences=4, num_threads=1, adapters=files
            )
            stack.callback(context.close)
            return context

        yield make


def logits(context: Context, seq_id: int = 0) -> Floats:
    batch = Batch(64)
    batch.add(seq_id, 0, PROMPT, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    row: Floats = context.logits()[0].copy()
    context.remove_sequence(seq_id)
    return row


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "lfm2"])
def test_an_adapter_is_as_its_merged_weights(
    tiny_models: TinyModels, tmp_path: Path, opened: Callable[..., Context], architecture: str
) -> None:
    path = tiny_models[architecture]
    one = write_adapter(tmp_path / "one.gguf", path, 1)
    two = write_adapter(tmp_path / "two.gguf", path, 2)
    context = opened(path, one=tmp_path / "one.gguf", two=tmp_path / "two.gguf")
    plain = logits(context)
    for lora, scales in (
        ((("one", 1.0),), (1.0, 0.0)),
        ((("two", -0.5),), (0.0, -0.5)),
        ((("one", 0.5), ("two", 2.0)), (0.5, 2.0)),
    ):
        merged = tmp_path / "merged.gguf"
        write_merged(merged, path, {name: scales[0] * one[name] + scales[1] * two[name] for name in one})
        context.use_adapters(lora)
        found, expected = logits(context), logits(opened(merged))
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)
        assert np.abs(found - plain).max() > 1
    context.use_adapters(())
    np.testing.assert_array_equal(logits(context), plain)


def test_an_adapter_may_be_loaded_beside_a_context(
    tiny_models: TinyModels, tmp_path: Path, opened: Callable[..., Context]
) -> None:
    """llama.cpp counts its nodes when the context is made ready again, which every change of sets does."""
    path = tiny_models["llama"]
    write_adapter(tmp_path / "one.gguf", path, 1)
    early = opened(path, one=tmp_path / "one.gguf")
    early.use_adapters((("one", 1.0),))
    late = opened(path)
    logits(late)
    late.add_adapter("one", str(tmp_path / "one.gguf"))
    late.use_adapters((("one", 1.0),))
    np.testing.assert_array_equal(logits(late), logits(early))


def test_an_adapter_may_be_freed_beside_a_context(
    tiny_models: TinyModels, tmp_path: Path, opened: Callable[..., Context]
) -> None:
    """Also the one that was computed with last; another may have its name then."""
    path = tiny_models["llama"]
    for seed, name in enumerate(("one", "two"), 1):
        write_adapter(tmp_path / f"{name}.gguf", path, seed)
    context = opened(path, one=tmp_path / "one.gguf", two=tmp_path / "two.gguf")
    plain = logits(context)
    expected = {}
    for name in ("one", "two"):
        context.use_adapters(((name, 1.0),))
        expected[name] = logits(context)
    context.remove_adapter("two")
    np.testing.assert_array_equal(logits(context), plain)
    context.use_adapters((("one", 1.0),))
    np.testing.assert_array_equal(logits(context), expected["one"])
    for _ in range(20):
        context.add_adapter("two", str(tmp_path / "one.gguf"))
        context.use_adapters((("two", 1.0),))
        np.testing.assert_array_equal(logits(context), expected["one"])
        context.remove_adapter("two")
        context.add_adapter("two", str(tmp_path / "two.gguf"))
        context.use_adapters((("one", 1.0),))
        context.use_adapters((("two", 1.0),))
        np.testing.assert_array_equal(logits(context), expected["two"])
        context.remove_adapter("two")
    assert set(context.adapters) == {"one"}


def test_a_file_that_is_no_adapter_of_this_model_is_told(tiny_models: TinyModels, tmp_path: Path) -> None:
    write_adapter(tmp_path / "gemma.gguf", tiny_models["gemma3"], 1)
    (tmp_path / "torn.gguf").write_bytes((tmp_path / "gemma.gguf").read_bytes()[:1000])
    model = Model(tiny_models["llama"])
    for name, message in (
        ("gemma", "model arch and LoRA arch mismatch"),
        ("torn", "the file is cut off or damaged"),
        ("none", "no such file"),
    ):
        with pytest.raises(AdapterError, match=message):
            Adapter(model, tmp_path / f"{name}.gguf")
    with pytest.raises(AdapterError, match=r"expect general\.type to be 'adapter'"):
        Adapter(model, tiny_models["llama"])
    model.close()


ALPHA, QUERIES = "'adapter.lora.alpha' is no 32-bit number", "blk.0.attn_q.weight"
SOUND = (4, "columns"), ("rows", 4)


@pytest.mark.parametrize(
    ("message", "name", "a", "b", "kind", "alpha"),
    [
        (ALPHA, QUERIES, *SOUND, np.float32, 8),
        (ALPHA, QUERIES, *SOUND, np.float32, float("nan")),
        ("of the type 26, which cannot", QUERIES, *SOUND, np.int32, 8.0),
        ("are not as many as", QUERIES, (2, 4, "columns"), (2, "rows", 4), np.float32, 8.0),
        ("'blk.0.attn_q.weight.lora_a' has numbers that are not finite", QUERIES, *SOUND, np.float32, 8.0),
        ("has numbers that are not finite", QUERIES, *SOUND, np.float16, 8.0),
        ("have two ranks", "token_embd.weight", ("rows", 4), ("columns", 8), np.float32, 8.0),
    ],
    ids=["whole alpha", "no alpha", "integers", "experts", "infinity", "no number", "ranks"],
)
def test_files_that_nobody_can_compute_with_are_told(
    tiny_models: TinyModels,
    tmp_path: Path,
    message: str,
    name: str,
    a: tuple[int | str, ...],
    b: tuple[int | str, ...],
    kind: type,
    alpha: float,
) -> None:
    """llama.cpp loads most of these, and ends the process or computes nonsense with them."""
    path = tiny_models["llama"]
    (weight,) = (tensor for tensor in gguf.GGUFReader(path).tensors if tensor.name == name)
    sizes = dict(zip(("columns", "rows"), map(int, weight.shape), strict=True))
    writer = gguf.GGUFWriter(tmp_path / "broken.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    kinds = {float: gguf.GGUFValueType.FLOAT32, int: gguf.GGUFValueType.UINT32}
    writer.add_key_value("adapter.lora.alpha", alpha, kinds[type(alpha)])
    is_finite = "not finite" not in message
    for letter, shape in (("a", a), ("b", b)):
        numbers = [size if isinstance(size, int) else sizes[size] for size in shape]
        array: NDArray[np.generic] = np.ones(numbers, kind)
        if not is_finite:
            array[-1, -1] = np.inf if kind == np.float32 else np.nan
        writer.add_tensor(f"{name}.lora_{letter}", array)
    write(writer)
    model = Model(path)
    with pytest.raises(AdapterError, match=message):
        Adapter(model, tmp_path / "broken.gguf")
    model.close()
