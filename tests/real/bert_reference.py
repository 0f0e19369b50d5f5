"""A BERT's forward pass and mean pooling in numpy, in float64, from the weights as they were published."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.real.safetensors import read_safetensors
from tests.real.sentence_encoder import EMBED, HEADS, NORM_EPSILON, NUM_LAYERS

Numbers = NDArray[np.float64]


class BertReference:
    """The encoder of a safetensors file."""

    def __init__(self, weights: Path) -> None:
        self._tensors = {
            name: tensor.astype(np.float64)
            for name, tensor in read_safetensors(weights).items()
            if tensor.dtype == np.float32
        }

    def embed(self, token_ids: list[int]) -> Numbers:
        """The normalized mean of the last layer's rows; markers are part of `token_ids`."""
        tensors = self._tensors
        hidden = tensors["embeddings.word_embeddings.weight"][token_ids]
        hidden = hidden + tensors["embeddings.position_embeddings.weight"][: len(token_ids)]
        hidden = hidden + tensors["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm("embeddings.LayerNorm", hidden)
        for layer in range(NUM_LAYERS):
            prefix = f"encoder.layer.{layer}"
            attended = self._dense(f"{prefix}.attention.output.dense", self._attention(prefix, hidden))
            hidden = self._norm(f"{prefix}.attention.output.LayerNorm", hidden + attended)
            wide = _gelu(self._dense(f"{prefix}.intermediate.dense", hidden))
            hidden = self._norm(
                f"{prefix}.output.LayerNorm", hidden + self._dense(f"{prefix}.output.dense", wide)
            )
        mean = hidden.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    def _attention(self, prefix: str, hidden: Numbers) -> Numbers:
        def heads(name: str) -> Numbers:
            rows = self._dense(f"{prefix}.attention.self.{name}", hidden)
            return rows.reshape(len(hidden), HEADS, EMBED // HEADS).swapaxes(0, 1)

        scores = heads("query") @ heads("key").swapaxes(1, 2) / (EMBED // HEADS) ** 0.5
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (weights / weights.sum(axis=-1, keepdims=True)) @ heads("value")
        return np.asarray(mixed.swapaxes(0, 1).reshape(len(hidden), EMBED))

    def _dense(self, name: str, rows: Numbers) -> Numbers:
        return np.asarray(rows @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"])

    def _norm(self, name: str, rows: Numbers) -> Numbers:
        centred = rows - rows.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + NORM_EPSILON)
        return np.asarray(centred / scale * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"])


def _gelu(rows: Numbers) -> Numbers:
    # By the error function: Abramowitz and Stegun 7.1.26, to 1.5e-7.
    x = np.abs(rows) / 2**0.5
    t = 1 / (1 + 0.3275911 * x)
    powers = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
    series = sum(factor * t ** (index + 1) for index, factor in enumerate(powers))
    return np.asarray(rows / 2 * (1 + np.sign(rows) * (1 - series * np.exp(-(x**2)))))
