"""Embeddings in the places of tokens, against libmtmd's own way and against tokens themselves."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caravan.llama.context import DecodeStatus
from caravan.llama.media_batch import MediaBatch, MediaPlace
from caravan.llama.projector import Projector
from gguf import GGUFReader
from numpy.typing import NDArray

from tests.engine.media.images import Image, Part, image, random_image
from tests.engine.media.models import WITH_GRIDS, write_media_model
from tests.engine.media.reference import MediaReference
from tests.llama.test_projector import picture
from tests.tiny_model import EMBED, write_tiny_model
from tests.tiny_projector import write_tiny_pair

SEEING = ("llava", "gemma3", "qwen2vl")
Open = Callable[..., MediaReference]


@pytest.fixture
def opened() -> Iterator[Open]:
    made: list[MediaReference] = []

    def open_one(path: Path, piece: int | None = None) -> MediaReference:
        made.append(MediaReference(path, piece))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def seen(folder: Path, model: Path, projector: Path, seed: int) -> list[Part]:
    """What a projector makes of a picture: its tokens, and the run of the image."""
    tower = Projector(str(projector), str(model), num_threads=1)
    parts: list[Part] = []
    with tower.chunks_of_image(picture(seed)) as chunks:
        for chunk in chunks:
            if not chunk.num_cells or chunk.token_ids:
                parts.append(chunk.token_ids)
                continue
            found = np.empty((chunk.num_cells, tower.width), np.float32)
            tower.encode(chunk, found)
            path = image(folder, found).path
            parts.append(Image(path, found, chunk.num_positions, chunk.positions, chunk.is_causal))
    tower.close()
    return parts


@pytest.mark.parametrize("kind", SEEING)
def test_a_prompt_with_an_image_is_as_libmtmd_computes_it(kind: str, tmp_path: Path, opened: Open) -> None:
    model, projector = write_tiny_pair(tmp_path, kind)
    reference = opened(model)
    read = reference.model.vocab.tokenize
    before = read("Look: ", add_special=True, parse_special=True)
    after = read(" What is it?", add_special=False, parse_special=True)
    rows = {seed: reference.row([before, *seen(tmp_path, model, projector, seed), after]) for seed in (0, 1)}
    np.testing.assert_allclose(rows[0], of_libmtmd(model, projector, 0), atol=1e-4)
    assert np.abs(rows[0] - rows[1]).max() > 1e-2


@pytest.mark.parametrize("kind", ["llama", "qwen2vl", "qwen3vl", "lfm2", "mamba"])
@pytest.mark.parametrize("piece", [1, 7, 64])
def test_pieces_of_an_image_are_the_whole(kind: str, piece: int, tmp_path: Path, opened: Open) -> None:
    path, parts = drawn(kind, tmp_path)
    np.testing.assert_allclose(opened(path, piece).row(parts), opened(path).row(parts), atol=2e-3)


def test_embeddings_of_tokens_are_the_tokens(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "llama.gguf"
    write_tiny_model(path, "llama")
    (tensor,) = (t for t in GGUFReader(path).tensors if t.name == "token_embd.weight")
    table = np.asarray(tensor.data, np.float32)
    token_ids = np.random.default_rng(0).integers(0, 256, 90).tolist()
    looked_up = image(tmp_path, table[token_ids[30:60]])
    reference = opened(path)
    by_tokens = reference.row([token_ids])
    by_rows = reference.row([token_ids[:30], looked_up, token_ids[60:]])
    np.testing.assert_allclose(by_rows, by_tokens, atol=1e-3)


def test_whole_images_see_all_of_themselves(tmp_path: Path, opened: Open) -> None:
    """What is not causal is no other name for what is."""
    path = tmp_path / "gemma3.gguf"
    write_tiny_model(path, "gemma3")
    reference = opened(path)
    rows = [
        reference.row([[1, 2, 3], random_image(tmp_path, 0, 12, width=EMBED, is_causal=causal), [4]])
        for causal in (True, False)
    ]
    assert np.abs(rows[0] - rows[1]).max() > 1e-2


def test_what_llama_cpp_would_die_of_is_refused(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "llama.gguf"
    write_tiny_model(path, "llama")
    context = opened(path).context

    def batch(rows: int, width: int, num_positions: int, seq_id: int = 0, value: float = 0.0) -> MediaBatch:
        found = np.full((rows, width), value, np.float32)
        positions = np.arange(num_positions, dtype=np.int32)[np.newaxis]
        place = MediaPlace(0, rows, rows)
        return MediaBatch(seq_id, place, found, positions, is_causal=True, wants_logits=True)

    for bad in [
        batch(513, EMBED, 513),
        batch(0, EMBED, 0),
        batch(4, EMBED + 1, 4),
        batch(4, EMBED, 3),
        batch(4, EMBED, 4, seq_id=1),
        batch(4, EMBED, 4, seq_id=-1),
        batch(4, EMBED, 4, value=np.nan),
    ]:
        with pytest.raises(ValueError, match=r"batch|embeddings|positions"):
            context.decode_media(bad)
    assert context.decode_media(batch(4, EMBED, 4)) is DecodeStatus.OK


def drawn(kind: str, folder: Path) -> tuple[Path, list[Part]]:
    """A model of a kind, and a prompt with a random image."""
    path, width = write_media_model(folder, kind)
    grid = (6, 9) if kind in WITH_GRIDS else None
    looked = random_image(folder, 0, 54, width=width, grid=grid)
    return path, [[5, 6, 7, 8], looked, [9, 10], looked, [11, 12, 13]]


def of_libmtmd(model: Path, path: Path, seed: int) -> NDArray[np.float32]:
    """The logits that `mtmd_helper_eval_chunks` comes to."""
    from llama_cpp import mtmd_cpp

    native: Any = mtmd_cpp
    reference = MediaReference(model)
    params = native.mtmd_context_params_default()
    params.n_threads = 1
    mtmd = native.mtmd_init_from_file(str(path).encode(), reference.model.pointer, params)
    pixels = picture(seed)
    data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    bitmap = native.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
    text = b"Look: " + native.mtmd_default_marker() + b" What is it?"
    prompt = native.mtmd_input_text(text, len(text), True, True)
    chunks = native.mtmd_input_chunks_init()
    assert native.mtmd_tokenize(mtmd, chunks, ctypes.byref(prompt), (ctypes.c_void_p * 1)(bitmap), 1) == 0
    end = ctypes.c_int32()
    pointer = reference.context._pointer
    assert native.mtmd_helper_eval_chunks(mtmd, pointer, chunks, 0, 0, 512, True, ctypes.byref(end)) == 0
    reference.context._num_outputs = 1
    row: NDArray[np.float32] = reference.context.logits()[0].copy()
    native.mtmd_input_chunks_free(chunks)
    native.mtmd_bitmap_free(bitmap)
    native.mtmd_free(mtmd)
    reference.close()
    return row
