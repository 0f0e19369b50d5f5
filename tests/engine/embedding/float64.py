"""The rows of a last layer by NumPy, in float64, from a file's own weights.

Keys and values are rounded to half floats first, as they are kept.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests import tiny_bert, tiny_model

Numbers = NDArray[np.float64]


class Weights:
    """The tensors of a file, by their names."""

    def __init__(self, path: Path) -> None:
        tensors = gguf.GGUFReader(path).tensors
        self._tensors = {tensor.name: np.asarray(tensor.data, np.float64) for tensor in tensors}

    def __getitem__(self, name: str) -> Numbers:
        return self._tensors[name]

    def dense(self, name: str, rows: Numbers) -> Numbers:
        """A product, and what is added to it if there is anything."""
        return np.asarray(rows @ self[f"{name}.weight"].T + self._tensors.get(f"{name}.bias", 0.0))


def bert_rows(path: Path, token_ids: Sequence[int]) -> Numbers:
    """Those of `tests.tiny_bert`: tokens see all others, norms come last."""
    weights = Weights(path)

    def norm(name: str, rows: Numbers) -> Numbers:
        centred = rows - rows.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return np.asarray(centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"])

    rows = weights["token_embd.weight"][list(token_ids)] + weights["token_types.weight"][0]
    rows = norm("token_embd_norm", rows + weights["position_embd.weight"][: len(token_ids)])
    for index in range(tiny_bert.NUM_LAYERS):
        block = f"blk.{index}"
        q, k, v = (
            _heads(weights.dense(f"{block}.attn_{name}", rows), tiny_bert.HEADS) for name in ("q", "k", "v")
        )
        attended = weights.dense(f"{block}.attn_output", _attend(q, k, v, is_causal=False))
        rows = norm(f"{block}.attn_output_norm", rows + attended)
        wide = _gelu(weights.dense(f"{block}.ffn_up", rows))
        rows = norm(f"{block}.layer_output_norm", rows + weights.dense(f"{block}.ffn_down", wide))
    return rows


def llama_rows(path: Path, token_ids: Sequence[int]) -> Numbers:
    """Those of `tests.tiny_model`'s llama: tokens see those before them, norms come first."""
    weights = Weights(path)

    def norm(name: str, rows: Numbers) -> Numbers:
        scale = np.sqrt((rows**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(rows / scale * weights[f"{name}.weight"])

    rows = weights["token_embd.weight"][list(token_ids)]
    for index in range(tiny_model.ARCHITECTURES["llama"].num_layers):
        block = f"blk.{index}"
        normed = norm(f"{block}.attn_norm", rows)
        q = _turned(_heads(weights.dense(f"{block}.attn_q", normed), tiny_model.HEADS))
        k = _turned(_heads(weights.dense(f"{block}.attn_k", normed), tiny_model.KV_HEADS))
        v = _heads(weights.dense(f"{block}.attn_v", normed), tiny_model.KV_HEADS)
        rows = rows + weights.dense(f"{block}.attn_output", _attend(q, k, v, is_causal=True))
        normed = norm(f"{block}.ffn_norm", rows)
        gate = weights.dense(f"{block}.ffn_gate", normed)
        wide = gate / (1 + np.exp(-gate)) * weights.dense(f"{block}.ffn_up", normed)
        rows = rows + weights.dense(f"{block}.ffn_down", wide)
    return norm("output_norm", rows)


def _gelu(rows: Numbers) -> Numbers:
    """As ggml has it: by tanh, in a table of half floats."""
    rows = _halves(rows)
    return _halves(rows / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (rows + 0.044715 * rows**3))))


def _halves(numbers: Numbers) -> Numbers:
    return numbers.astype(np.float16).astype(np.float64)


def _heads(rows: Numbers, count: int) -> Numbers:
    """[tokens, width] as [heads, tokens, size]."""
    return rows.reshape(len(rows), count, -1).swapaxes(0, 1)


def _turned(heads: Numbers) -> Numbers:
    """Turn neighbouring numbers by angles that grow with the position."""
    _, length, size = heads.shape
    angles = np.arange(length)[:, None] * 10_000.0 ** (-np.arange(0, size, 2) / size)
    pairs = (heads[..., ::2] + 1j * heads[..., 1::2]) * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], -1).reshape(heads.shape)


def _attend(q: Numbers, k: Numbers, v: Numbers, *, is_causal: bool) -> Numbers:
    heads, length, size = q.shape
    k, v = (np.repeat(_halves(cells), heads // len(cells), 0) for cells in (k, v))
    scores = q @ k.swapaxes(1, 2) / size**0.5
    if is_causal:
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = chances / chances.sum(-1, keepdims=True) @ v
    return np.asarray(mixed.swapaxes(0, 1).reshape(length, -1))


ROWS: dict[str, Callable[[Path, Sequence[int]], Numbers]] = {"bert": bert_rows, "llama": llama_rows}
