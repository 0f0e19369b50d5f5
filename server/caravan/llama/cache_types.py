"""How keys and values are stored in cells: llama.cpp's names of types, and what rows of them take."""

from caravan.llama.gguf_reader import BLOCKS

# ggml's numbers of them (`ggml_type`), in the order of llama.cpp's `kv_cache_types`.
NUMBERS = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "q8_0": 8,
    "q4_0": 2,
    "q4_1": 3,
    "iq4_nl": 20,
    "q5_0": 6,
    "q5_1": 7,
}


def block_size(name: str) -> int:
    """Count the numbers that are stored together; 1 where each is by itself."""
    return BLOCKS[NUMBERS[name]][0]


def row_bytes(name: str, count: int) -> int:
    """Tell what a row of so many numbers takes (`ggml_row_size`)."""
    block, size = BLOCKS[NUMBERS[name]]
    return -(-count // block) * size
