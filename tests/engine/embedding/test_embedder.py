"""Vectors of real tiny models: right, independent of their neighbours, and beside running streams."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.embedder import Embedder
from caravan.engine.embedding.factory import GRAPHS, first_fault, make_embedder, traits_of
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, Pooling
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import Context, ContextError, NotGenerativeError
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.gguf_header import read_header
from caravan.llama.model import Model, ModelLoadError
from caravan.llama.model_file import LookAtWeights, Weights, WeightsChangedError, always_sound
from caravan.sizing.memory_estimate import bytes_of_vectors, estimate
from numpy.typing import NDArray

from tests.conftest import TinyModels
from tests.engine.embedding.float64 import ROWS
from tests.engine.harness import request
from tests.engine.real_harness import RealHarness
from tests.tiny_bert import TRAINING_CONTEXT, write_tiny_bert
from tests.tiny_vocab import add_vocabulary

Vector = NDArray[np.float32]
Texts = tuple[tuple[int, ...], ...]

POOLINGS = {Pooling.MEAN: 1, Pooling.CLS: 2, Pooling.LAST: 3}
# Of two ways to the same vector; ours is one way whatever is computed beside it, to the last bit.
NOISE = 0.0 if library.has_runs_of_rows() else 1e-4


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder."""
    path = tmp_path_factory.mktemp("bert") / "bert.gguf"
    write_tiny_bert(path)
    return path


def path_of(name: str, tiny_models: TinyModels, bert: Path) -> Path:
    return bert if name == "bert" else tiny_models[name]


class Opened:
    """A model and an embedder over it, driven by hand."""

    def __init__(self, path: Path, look_at_weights: LookAtWeights = always_sound) -> None:
        self.model = Model(path)
        self.is_encoder = "bert" in path.name
        self.config = EngineConfig(model_path=str(path), context_size=640, num_cells=640, num_threads=1)
        self.outputs: list[EmbedOutput] = []
        self.embedder: Embedder = make_embedder(
            self.model,
            self.config,
            self.outputs.extend,
            is_whole=self.is_encoder,
            look_at_weights=look_at_weights,
        )

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.embedder.close()
        self.model.close()

    def vectors(self, texts: Texts, pooling: Pooling = Pooling.MEAN, name: str = "r") -> list[Vector]:
        """The vectors of one request."""
        self.embedder.add(EmbedRequest(id=name, inputs=texts, pooling=pooling))
        while self.embedder.has_work:
            self.embedder.step(is_beside=False)
        return vectors_of(self.outputs, name)

    def direct(self, token_ids: Sequence[int], pooling: Pooling) -> Vector:
        """The vector as llama.cpp itself pools it, the text alone in one batch."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 640
        params.embeddings, params.pooling_type = True, POOLINGS[pooling]
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = llama_cpp.llama_init_from_model(self.model.pointer, params)
        batch = Batch(640)
        batch.add(0, 0, token_ids, wants_logits=True)
        batch.mark(len(token_ids))
        assert llama_cpp.llama_decode(context, batch.native()) == 0
        address = llama_cpp.llama_get_embeddings_seq(context, 0)
        size = self.model.embedding_size
        vector = np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (size,)).copy()
        llama_cpp.llama_free(context)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def vectors_of(outputs: list[EmbedOutput], name: str) -> list[Vector]:
    found = {output.index: output for output in outputs if output.request_id == name}
    assert not any(output.error for output in found.values())
    return [np.frombuffer(found[index].vector, "<f4") for index in range(len(found))]


def texts(seed: int, *lengths: int, limit: int = 80) -> Texts:
    rng = np.random.default_rng(seed)
    return tuple(tuple(rng.integers(5, limit, length).tolist()) for length in lengths)


def in_float64(path: Path, name: str, token_ids: Sequence[int], pooling: Pooling) -> NDArray[np.float64]:
    rows = ROWS[name](path, token_ids)
    vector = {Pooling.MEAN: rows.mean(axis=0), Pooling.CLS: rows[0], Pooling.LAST: rows[-1]}[pooling]
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("llama", Pooling.MEAN),
        ("llama", Pooling.LAST),
        ("bert", Pooling.MEAN),
        ("bert", Pooling.CLS),
        ("bert", Pooling.LAST),
    ],
)
def test_vectors_are_those_of_float64(
    tiny_models: TinyModels, bert: Path, name: str, pooling: Pooling
) -> None:
    """Nearer than llama.cpp's own without flash attention, which are off by up to 6e-4."""
    given, path = texts(1, 1, 7, 130, 600), path_of(name, tiny_models, bert)
    with Opened(path) as opened:
        for token_ids, vector in zip(given, opened.vectors(given, pooling), strict=True):
            near = 1e-4 if library.has_runs_of_rows() else 1e-3
            np.testing.assert_allclose(vector, in_float64(path, name, token_ids, pooling), rtol=0, atol=near)
            np.testing.assert_allclose(vector, opened.direct(token_ids, pooling), rtol=0, atol=1e-3)
            assert abs(np.linalg.norm(vector) - 1) < 1e-6


def test_vectors_of_states_are_llama_cpps_own(tiny_models: TinyModels) -> None:
    given = texts(1, 1, 7, 130, 600)
    with Opened(tiny_models["mamba"]) as opened:
        for token_ids, vector in zip(given, opened.vectors(given), strict=True):
            np.testing.assert_allclose(vector, opened.direct(token_ids, Pooling.MEAN), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3", "mamba", "lfm2", "bert"])
def test_packed_equals_alone(tiny_models: TinyModels, bert: Path, name: str) -> None:
    given = texts(2, 3, 50, 300, 1, *[20] * 30, 500)
    with Opened(path_of(name, tiny_models, bert)) as opened:
        packed = opened.vectors(given, name="packed")
        for index in (0, 1, 2, 3, 17, 34):
            (alone,) = opened.vectors((given[index],), name=f"alone {index}")
            np.testing.assert_allclose(packed[index], alone, rtol=0, atol=NOISE)
        assert np.abs(packed[0] - packed[1]).max() > 0.01


def test_requests_take_turns(tiny_models: TinyModels) -> None:
    with Opened(tiny_models["llama"]) as opened:
        opened.embedder.add(EmbedRequest(id="long", inputs=texts(3, *[100] * 40), pooling=Pooling.MEAN))
        opened.embedder.step(is_beside=False)
        opened.vectors(texts(4, 5), name="short")
        assert [output.request_id for output in opened.outputs].index("short") < 12


def test_aborting_ends_the_work_and_others_go_on(tiny_models: TinyModels) -> None:
    with Opened(tiny_models["llama"]) as opened:
        given = texts(5, 600, 600, 600)
        opened.embedder.add(EmbedRequest(id="gone", inputs=given, pooling=Pooling.MEAN))
        opened.embedder.add(EmbedRequest(id="kept", inputs=given[:1], pooling=Pooling.MEAN))
        opened.embedder.step(is_beside=False)
        opened.embedder.abort("gone")
        opened.embedder.abort("unknown")
        while opened.embedder.has_work:
            opened.embedder.step(is_beside=False)
        assert {output.request_id for output in opened.outputs} == {"kept"}
        np.testing.assert_allclose(vectors_of(opened.outputs, "kept"), opened.vectors(given[:1]), atol=1e-4)


def test_a_failure_ends_its_requests_only(tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_context: EmbeddingContext, _batch: Batch) -> Vector:
        raise ContextError("no memory")

    with Opened(tiny_models["llama"]) as opened, monkeypatch.context() as patch:
        patch.setattr(EmbeddingContext, "compute", fail)
        opened.embedder.add(EmbedRequest(id="bad", inputs=texts(6, 200, 200), pooling=Pooling.MEAN))
        opened.embedder.step(is_beside=False)
        (failed,) = opened.outputs
        assert failed.request_id == "bad"
        assert "no memory" in (failed.error or "")
        assert not opened.embedder.has_work
        patch.undo()
        assert opened.vectors(texts(6, 200))


@pytest.mark.parametrize("name", ["llama", "mamba", "bert"])
def test_without_memory_texts_are_refused_until_there_is_some(
    name: str, tiny_models: TinyModels, bert: Path
) -> None:
    path = path_of(name, tiny_models, bert)
    least, most = (bytes_of_vectors(read_header(path), cells) + GRAPHS for cells in (512, 640))
    with Opened(path) as opened:
        free = least - 1
        opened.embedder = make_embedder(
            opened.model,
            opened.config,
            opened.outputs.extend,
            is_whole=opened.is_encoder,
            free_memory=lambda: free,
        )

        def is_refused(length: int) -> bool:
            opened.outputs.clear()
            opened.embedder.add(EmbedRequest(id="r", inputs=texts(6, length), pooling=Pooling.MEAN))
            while opened.embedder.has_work:
                opened.embedder.step(is_beside=False)
            (output,) = opened.outputs
            assert output.is_memory_short == bool(output.error)
            return output.is_memory_short

        assert is_refused(10)
        free = least
        assert not is_refused(10)
        assert is_refused(600) == (most > least)
        assert not is_refused(10)
        free = most
        assert not is_refused(600)


def test_an_encoder_is_told_from_a_generator(bert: Path) -> None:
    with Opened(bert) as opened:
        with pytest.raises(NotGenerativeError):
            Context(opened.model, num_cells=640, batch_size=512, max_sequences=4, num_threads=1)
        assert opened.model.training_context == TRAINING_CONTEXT
        assert first_fault(opened.model, opened.config) is None


@pytest.mark.parametrize(
    ("number", "pooling"),
    [(None, Pooling.MEAN), (0, Pooling.MEAN), (2, Pooling.CLS), (3, Pooling.LAST), (4, Pooling.RANK)],
)
def test_the_files_pooling_is_read(tmp_path: Path, number: int | None, pooling: Pooling) -> None:
    path = tmp_path / "model.gguf"
    write_tiny_bert(path, pooling=number, has_head=True)
    model = Model(path)
    assert traits_of(model).pooling is pooling
    model.close()


def test_streams_go_on_beside_embeddings(tiny_models: TinyModels) -> None:
    harness = RealHarness(tiny_models["llama"])
    stream = request("s", range(30), max_tokens=100, ignore_eos=True)
    try:
        alone = harness.run([stream])
        harness.outputs.clear()
        harness.engine.submit(stream)
        harness.engine.turn()
        given = texts(7, *[200] * 8, limit=250)
        harness.engine.embed(EmbedRequest(id="e", inputs=given, pooling=Pooling.MEAN))
        tokens_at_vectors: list[int] = []

        def note(_turn: int) -> None:
            if len(harness.vectors) > len(tokens_at_vectors):
                tokens_at_vectors.append(harness.outputs[-1].num_completion_tokens)

        assert harness.finish(note) == alone
        with Opened(tiny_models["llama"]) as opened:
            expected = opened.vectors(given)
        np.testing.assert_allclose(vectors_of(harness.vectors, "e"), expected, rtol=0, atol=NOISE)
        # Each vector takes several batches, and the stream drew a token between every two of them.
        assert len(set(tokens_at_vectors)) >= 4
        assert tokens_at_vectors[0] < tokens_at_vectors[-1] < 100
    finally:
        harness.engine._embedder.close()
        harness.close()


def test_a_model_with_an_encoder_beside_its_decoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t5.gguf"
    writer = gguf.GGUFWriter(path, "t5")
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_relative_attn_buckets_count(32)
    writer.add_decoder_start_token_id(0)
    add_vocabulary(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelLoadError, match="encoder, such as T5"):
        Model(path, vocab_only=True)


def test_an_encoder_needs_no_cells(bert: Path) -> None:
    header = read_header(bert)
    few, many = (estimate(header, num_cells=n, max_sequences=1, batch_size=64).cells for n in (64, 640))
    assert few == many == 0


@pytest.mark.parametrize("name", ["llama", "mamba", "bert"])
def test_what_suspect_weights_have_computed_is_computed_again(
    name: str, tiny_models: TinyModels, bert: Path
) -> None:
    path, inputs = path_of(name, tiny_models, bert), texts(3, 600, 5, 200, 40)
    with Opened(path) as opened:
        expected = opened.vectors(inputs)
    looks = iter([Weights.SOUND, Weights.SUSPECT, Weights.SUSPECT])
    with Opened(path, lambda: next(looks, Weights.SOUND)) as opened:
        assert np.array_equal(opened.vectors(inputs), expected)
    assert next(looks, None) is None


def test_an_embedder_ends_with_its_weights(tiny_models: TinyModels) -> None:
    def changed() -> Weights:
        raise WeightsChangedError

    with Opened(tiny_models["llama"], changed) as opened, pytest.raises(WeightsChangedError):
        opened.vectors(texts(3, 20))
