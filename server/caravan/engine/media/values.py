"""Images and sounds in prompts, as they cross the border: their cells, and where their embeddings are."""

import msgspec


class SharedEmbeddings(msgspec.Struct, frozen=True, kw_only=True):
    """Embeddings in a file that is mapped: float32 of so many `rows`, each of `width` numbers, from byte
    `offset` on.

    The engine only reads it. Whoever made the file unlinks it after the last request that uses it has ended.
    `width` is what llama.cpp calls the model's input width, which may be more than that of a token.
    """

    path: str
    offset: int
    rows: int
    width: int


class MediaRun(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbouring cells that one image, or a part of it, takes. `start` is the index of the first among the
    prompt's token ids, which hold -1 in the places of all `num_cells`.

    Behind it, positions go on by `num_positions`: as many as there are cells, but for M-RoPE. `key` is 16
    bytes; runs of equal keys have equal embeddings. One that is not `is_causal` is computed as a whole, each
    cell seeing all of the run. With M-RoPE, `positions` are int32, a row for each cell, relative to the run's
    first; else it is empty, and they count up from 0.
    """

    start: int
    num_cells: int
    num_positions: int
    key: bytes
    is_causal: bool
    positions: bytes = b""
    embeddings: SharedEmbeddings
