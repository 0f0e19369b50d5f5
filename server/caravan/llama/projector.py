"""A projector (`mmproj` file) with the towers in it: images and sounds into chunks, chunks into embeddings.

libmtmd is loaded when the first projector is, so only processes that encode have it.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.llama import library
from caravan.llama.gguf_header import HeaderError, read_header
from caravan.llama.vocab import Vocab

# Its positions inside an image are counted from the prompt's start, and by the images before: they cannot be
# moved with the image.
_NOT_MOVABLE = ("hunyuanvl", "hunyuanocr")
_LOAD_MODE_NONE = 0
# Sections of a position under M-RoPE, as in a batch of llama.cpp: time, row, column and one that stays 0.
_SECTIONS = 4


class ProjectorError(Exception):
    """A projector cannot be loaded, or does not fit its model; one line."""


class EncodeError(Exception):
    """libmtmd could not read one image or sound; one line."""


class SoundError(Exception):
    """A file of a sound cannot be decoded; one line."""


@dataclass(frozen=True)
class Chunk:
    """What stands for an image or sound, or a part of it: either `token_ids`, or `num_cells` embeddings.

    `positions` are int32 [num_cells, 4] relative to the first, where the model has M-RoPE.
    """

    token_ids: tuple[int, ...] = ()
    num_cells: int = 0
    num_positions: int = 0
    is_causal: bool = True
    positions: bytes = b""
    pointer: int = 0


class Projector:
    """Owns an `mtmd_context`, and the text model without weights that libmtmd asks for names and sizes.

    One call at a time. Raises ProjectorError.
    """

    def __init__(
        self, path: str, model_path: str, *, num_threads: int, use_gpu: bool = True, max_tokens: int = 0
    ) -> None:
        check_projector(path)
        library.start()
        with library.reasons() as reasons, contextlib.ExitStack() as undo:
            self._mtmd = _mtmd()
            model = _open_text(model_path)
            undo.callback(llama_cpp.llama_model_free, model)
            params = self._mtmd.mtmd_context_params_default()
            params.use_gpu = use_gpu
            params.print_timings = False
            params.n_threads = num_threads
            # What it can is found out at the first image; a run beforehand takes as long as a large one.
            params.warmup = False
            params.image_max_tokens = max_tokens or -1
            self._pointer = self._mtmd.mtmd_init_from_file(os.fsencode(path), model, params)
            if not self._pointer:
                raise ProjectorError(_reason(path, reasons))
            undo.callback(self._mtmd.mtmd_free, self._pointer)
            self.vocab = Vocab(llama_cpp.llama_model_get_vocab(model))
            self.width = int(llama_cpp.llama_model_n_embd_inp(model))
            self._exit = undo.pop_all()
        self.sees = bool(self._mtmd.mtmd_support_vision(self._pointer))
        self.hears = bool(self._mtmd.mtmd_support_audio(self._pointer))
        # Samples a second of the sounds it wants.
        self.sample_rate = max(0, int(self._mtmd.mtmd_get_audio_sample_rate(self._pointer)))
        self._has_sections = bool(self._mtmd.mtmd_decode_use_mrope(self._pointer))

    @contextlib.contextmanager
    def chunks_of_image(self, pixels: NDArray[np.uint8]) -> Iterator[list[Chunk]]:
        """The chunks of an RGB image [height, width, 3], which live within the block. Raises EncodeError."""
        height, width, _ = pixels.shape
        data = np.ascontiguousarray(pixels)
        bitmap = self._mtmd.mtmd_bitmap_init(
            width, height, data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        )
        with self._chunks(bitmap) as chunks:
            yield chunks

    @contextlib.contextmanager
    def chunks_of_sound(self, samples: NDArray[np.float32]) -> Iterator[list[Chunk]]:
        """The chunks of a sound [num_samples], at `sample_rate`, which live within the block."""
        data = np.ascontiguousarray(samples)
        bitmap = self._mtmd.mtmd_bitmap_init_from_audio(
            len(data), data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        )
        with self._chunks(bitmap) as chunks:
            yield chunks

    def decode_sound(self, data: bytes) -> NDArray[np.float32]:
        """A file of a sound as samples [num_samples] of one channel, at `sample_rate`. Raises SoundError.

        libmtmd takes as much memory as the file's header says.
        """
        native = self._mtmd
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        with library.reasons() as reasons:
            bitmap = native.mtmd_helper_bitmap_init_from_buf(self._pointer, buffer, len(data), False)
        if not bitmap:
            raise SoundError(reasons[0] if reasons else "it cannot be decoded")
        try:
            size = int(native.mtmd_bitmap_get_n_bytes(bitmap))
            if not native.mtmd_bitmap_is_audio(bitmap) or not size:
                raise SoundError("there is nothing to hear")
            found = ctypes.string_at(native.mtmd_bitmap_get_data(bitmap), size)
            return np.frombuffer(found, np.float32)
        finally:
            native.mtmd_bitmap_free(bitmap)

    def encode(self, chunk: Chunk, out: NDArray[np.float32]) -> None:
        """Write the embeddings [num_cells, width] of a chunk of the open block. Raises EncodeError."""
        with library.reasons() as reasons:
            if self._mtmd.mtmd_encode_chunk(self._pointer, chunk.pointer):
                raise EncodeError(reasons[0] if reasons else "it cannot be encoded")
        found = self._mtmd.mtmd_get_output_embd(self._pointer)
        out[:] = np.ctypeslib.as_array(found, (chunk.num_cells, self.width))

    def close(self) -> None:
        """Free it; a second call does nothing."""
        self._exit.close()

    @contextlib.contextmanager
    def _chunks(self, bitmap: int) -> Iterator[list[Chunk]]:
        native = self._mtmd
        with contextlib.ExitStack() as undo:
            undo.callback(native.mtmd_bitmap_free, bitmap)
            found = native.mtmd_input_chunks_init()
            undo.callback(native.mtmd_input_chunks_free, found)
            part = native.mtmd_input_part(None, bitmap)
            parts = (ctypes.POINTER(native.mtmd_input_part) * 1)(ctypes.pointer(part))
            with library.reasons() as reasons:
                if native.mtmd_tokenize_from_parts(self._pointer, found, parts, 1, False):
                    raise EncodeError(reasons[0] if reasons else "it cannot be prepared")
            count = native.mtmd_input_chunks_size(found)
            yield [self._chunk(native.mtmd_input_chunks_get(found, index)) for index in range(count)]

    def _chunk(self, pointer: int) -> Chunk:
        native = self._mtmd
        num_cells = int(native.mtmd_input_chunk_get_n_tokens(pointer))
        if native.mtmd_input_chunk_get_type(pointer) == native.MTMD_INPUT_CHUNK_TYPE_TEXT:
            size = ctypes.c_size_t()
            token_ids = native.mtmd_input_chunk_get_tokens_text(pointer, ctypes.byref(size))
            found = tuple(token_ids[: size.value])
            if any(not 0 <= token_id < self.vocab.size for token_id in found):
                raise EncodeError("the projector wants tokens that the model does not have")
            return Chunk(token_ids=found)
        return Chunk(
            num_cells=num_cells,
            num_positions=int(native.mtmd_input_chunk_get_n_pos(pointer)),
            is_causal=not native.mtmd_decode_use_non_causal(self._pointer, pointer),
            positions=self._positions(pointer, num_cells) if self._has_sections else b"",
            pointer=pointer,
        )

    def _positions(self, pointer: int, num_cells: int) -> bytes:
        native = self._mtmd
        positions = np.zeros((num_cells, _SECTIONS), np.int32)
        image = native.mtmd_input_chunk_get_tokens_image(pointer)
        if not image:
            positions[:, :3] = np.arange(num_cells, dtype=np.int32)[:, None]
            return positions.tobytes()
        places = (native.mtmd_decoder_pos * num_cells)()
        native.mtmd_helper_image_get_decoder_pos(image, 0, places)
        for index, place in enumerate(places):
            positions[index] = place.t, place.y, place.x, place.z
        return positions.tobytes()


def check_projector(path: str) -> None:
    """Raise ProjectorError over a file that is no projector, or one that is not served."""
    try:
        header = read_header(path)
    except (HeaderError, OSError) as error:
        raise ProjectorError(f"the projector cannot be read: {error}") from error
    if header.architecture != "clip":
        raise ProjectorError(f"{path} is no projector: it has the architecture '{header.architecture}'")
    kinds = [header.text(f"clip.{place}projector_type") for place in ("", "vision.", "audio.")]
    for kind in kinds:
        if kind in _NOT_MOVABLE:
            raise ProjectorError(f"{path} is a projector of the kind '{kind}', which is not served")


def modalities_of(path: str) -> frozenset[str]:
    """What a projector reads, by its header: "image", "audio" or both. Raises HeaderError and OSError."""
    metadata = read_header(path).metadata
    names = {"image": "clip.has_vision_encoder", "audio": "clip.has_audio_encoder"}
    return frozenset(kind for kind, key in names.items() if metadata.get(key))


def _reason(path: str, reasons: list[str]) -> str:
    """What libmtmd complains of, without its function's name."""
    lines = [line.removeprefix("mtmd_init_from_file: error: ").strip() for line in reasons]
    why = next((line for line in lines if "mismatch" in line), lines[0] if lines else "unknown to libmtmd")
    return f"the projector {path} cannot be used: {why.splitlines()[0] if why else why}"


def _open_text(path: str) -> int:
    """A text model with its sizes and vocabulary, and no memory for weights (`no_alloc`)."""
    params = llama_cpp.llama_model_default_params()
    params.no_alloc = True
    params.load_mode = _LOAD_MODE_NONE
    params.n_gpu_layers = 0
    params.use_extra_bufts = False
    pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not pointer:
        raise ProjectorError(f"llama.cpp cannot read the model {path}")
    return int(pointer)


@functools.cache
def _mtmd() -> Any:  # noqa: ANN401 (a module of ctypes functions)
    """`llama_cpp.mtmd_cpp`, which loads libmtmd."""
    try:
        from llama_cpp import mtmd_cpp
    except (FileNotFoundError, RuntimeError, OSError) as error:
        raise ProjectorError(
            "this build of llama.cpp has no libmtmd, which reads images and sounds"
        ) from error
    callback = library.start().callback
    mtmd_cpp.mtmd_log_set(callback, ctypes.c_void_p(0))
    mtmd_cpp.mtmd_helper_log_set(callback, ctypes.c_void_p(0))
    return mtmd_cpp
