"""Projectors against libmtmd as it is meant to be used, with the whole model in the same process."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from caravan.llama.model import Model
from caravan.llama.projector import Chunk, Projector, ProjectorError, modalities_of
from numpy.typing import NDArray

from tests.tiny_model import EMBED, write_tiny_model
from tests.tiny_projector import write_tiny_pair, write_tiny_projector

SEEING = ("llava", "gemma3", "qwen2vl", "qwen3vl")

# Of those whose rows are longer than a token's.
WIDTHS = {"qwen3vl": 2 * EMBED}


def picture(seed: int, height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(projector: Projector, pixels: NDArray[np.uint8]) -> tuple[list[Chunk], NDArray[np.float32]]:
    """The chunks, and the embeddings of the run among them."""
    with projector.chunks_of_image(pixels) as chunks:
        (run,) = (chunk for chunk in chunks if chunk.num_cells and not chunk.token_ids)
        found = np.empty((run.num_cells, projector.width), np.float32)
        projector.encode(run, found)
        return chunks, found


def of_libmtmd(kind: str, model: Path, path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What libmtmd computes for the image in a prompt, by a model with its weights and a marker in a text."""
    from llama_cpp import mtmd_cpp

    native: Any = mtmd_cpp
    text_model = Model(model)
    params = native.mtmd_context_params_default()
    params.n_threads = 1
    context = native.mtmd_init_from_file(str(path).encode(), text_model.pointer, params)
    data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    bitmap = native.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
    text = b"Look: " + native.mtmd_default_marker() + b" What is it?"
    prompt = native.mtmd_input_text(text, len(text), True, True)
    chunks = native.mtmd_input_chunks_init()
    bitmaps = (ctypes.c_void_p * 1)(bitmap)
    assert native.mtmd_tokenize(context, chunks, ctypes.byref(prompt), bitmaps, 1) == 0
    for index in range(native.mtmd_input_chunks_size(chunks)):
        chunk = native.mtmd_input_chunks_get(chunks, index)
        if native.mtmd_input_chunk_get_type(chunk) == native.MTMD_INPUT_CHUNK_TYPE_IMAGE:
            assert native.mtmd_encode_chunk(context, chunk) == 0
            shape = (native.mtmd_input_chunk_get_n_tokens(chunk), WIDTHS.get(kind, EMBED))
            found = np.ctypeslib.as_array(native.mtmd_get_output_embd(context), shape).copy()
    native.mtmd_input_chunks_free(chunks)
    native.mtmd_bitmap_free(bitmap)
    native.mtmd_free(context)
    text_model.close()
    return np.asarray(found, np.float32)


@pytest.fixture(params=SEEING)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(kind: str, tmp_path: Path) -> tuple[Path, Path]:
    return write_tiny_pair(tmp_path, kind)


@pytest.fixture
def projector(pair: tuple[Path, Path]) -> Iterator[Projector]:
    opened = Projector(str(pair[1]), str(pair[0]), num_threads=1)
    yield opened
    opened.close()


def test_embeddings_are_those_of_libmtmd_with_the_whole_model(
    projector: Projector, kind: str, pair: tuple[Path, Path]
) -> None:
    pixels = picture(0)
    _, found = encoded(projector, pixels)
    np.testing.assert_array_equal(found, of_libmtmd(kind, *pair, pixels))


def test_the_same_image_is_the_same_and_another_is_not(projector: Projector) -> None:
    _, first = encoded(projector, picture(0))
    _, again = encoded(projector, picture(0))
    _, other = encoded(projector, picture(1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1 * np.abs(first).max()


def test_chunks_say_how_the_model_wants_them(projector: Projector, kind: str) -> None:
    chunks, found = encoded(projector, picture(0))
    (run,) = (chunk for chunk in chunks if chunk.num_cells and not chunk.token_ids)
    assert found.shape == (run.num_cells, WIDTHS.get(kind, EMBED))
    assert np.isfinite(found).all()
    assert run.is_causal == (kind != "gemma3")
    if not kind.startswith("qwen"):
        assert (run.num_positions, run.positions) == (run.num_cells, b"")
        return
    positions = np.frombuffer(run.positions, np.int32).reshape(run.num_cells, 4)
    rows, columns = 5, 7
    assert run.num_positions == max(rows, columns) < run.num_cells == rows * columns
    np.testing.assert_array_equal(positions[:, 1], np.repeat(np.arange(rows), columns))
    np.testing.assert_array_equal(positions[:, 2], np.tile(np.arange(columns), rows))
    assert not positions[:, 0].any()
    assert not positions[:, 3].any()


def test_a_sound_has_embeddings(tmp_path: Path) -> None:
    model, path = write_tiny_pair(tmp_path, "ultravox")
    projector = Projector(str(path), str(model), num_threads=1)
    assert (projector.hears, projector.sees, projector.sample_rate) == (True, False, 16_000)
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    with projector.chunks_of_sound(samples) as chunks:
        (run,) = chunks
        found = np.empty((run.num_cells, projector.width), np.float32)
        projector.encode(run, found)
        assert found.std() > 0.1
        assert run.is_causal
    projector.close()


def test_what_a_projector_reads_stands_in_its_header(tmp_path: Path) -> None:
    for kind, reads in (("llava", "image"), ("ultravox", "audio")):
        path = tmp_path / kind
        write_tiny_projector(path, kind)
        assert modalities_of(str(path)) == {reads}


def test_a_projector_of_another_width_is_refused_in_one_line(tmp_path: Path) -> None:
    model, path = write_tiny_pair(tmp_path, "llava")
    write_tiny_projector(path, "llava", embed=EMBED + 32)
    with pytest.raises(ProjectorError, match=r"n_embd = 64.*n_embd = 96") as caught:
        Projector(str(path), str(model), num_threads=1)
    assert "\n" not in str(caught.value)


def test_what_is_no_projector_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    write_tiny_model(model, "llama")
    for path, reason in ((model, "no projector"), (tmp_path / "none.gguf", "cannot be read")):
        with pytest.raises(ProjectorError, match=reason):
            Projector(str(path), str(model), num_threads=1)
    cut = tmp_path / "mmproj.gguf"
    write_tiny_projector(cut, "llava")
    cut.write_bytes(cut.read_bytes()[:60_000])
    with pytest.raises(ProjectorError):
        Projector(str(cut), str(model), num_threads=1)


def test_structures_have_the_library_s_layout() -> None:
    """The defaults that libmtmd fills in stand where ctypes looks for them."""
    from llama_cpp import mtmd_cpp

    params = mtmd_cpp.mtmd_context_params_default()
    assert params.use_gpu
    assert params.n_threads == 4
    assert params.media_marker == b"<__media__>"
    assert params.warmup
    assert (params.image_min_tokens, params.image_max_tokens) == (-1, -1)
    assert params.batch_max_tokens == 1024
    assert params.flash_attn_type == llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
