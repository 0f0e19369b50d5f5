"""What a prompt with images yields by itself: straight calls of llama.cpp, the images whole, no engine."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.media_batch import MediaBatch, MediaPlace
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.engine.media.images import Image, Part

# Logits of one token differ by less than this between batches of different shapes.
_ROUNDING = 2e-3


class Answer(NamedTuple):
    """Tokens drawn greedily. `decided`: rounding could not have changed any of them."""

    token_ids: list[int]
    decided: bool


class MediaReference:
    """Answers prompts alone and cold. Images are in pieces of `piece` cells, if one is given."""

    def __init__(self, path: Path, piece: int | None = None) -> None:
        self.model = Model(path)
        self.context = Context(self.model, num_cells=1024, batch_size=512, max_sequences=1, num_threads=1)
        self._piece = piece
        self.position = 0

    def row(self, parts: Iterable[Part]) -> NDArray[np.float32]:
        """The logits after a prompt."""
        self.context.remove_sequence(0)
        self.position = 0
        for part in parts:
            if isinstance(part, Image):
                self._look(part)
            else:
                self._read(list(part))
        return self._last_row()

    def answer(self, parts: Iterable[Part], count: int) -> Answer:
        """Draw so many tokens, or as many as come before the end."""
        row, found, decided = self.row(parts), list[int](), True
        while len(found) < count:
            second, best = np.partition(row, -2)[-2:]
            decided = decided and bool(best - second > 2 * _ROUNDING)
            token_id = int(row.argmax())
            if token_id in self.model.vocab.end_of_generation_ids:
                break
            found.append(token_id)
            self._read([token_id])
            row = self._last_row()
        return Answer(found, decided)

    def close(self) -> None:
        """Free context and model."""
        self.context.close()
        self.model.close()

    def _last_row(self) -> NDArray[np.float32]:
        row: NDArray[np.float32] = self.context.logits()[-1]
        return row.copy()

    def _read(self, token_ids: list[int]) -> None:
        batch = Batch(512)
        batch.add(0, self.position, token_ids, wants_logits=True)
        assert self.context.decode(batch) is DecodeStatus.OK
        self.position += len(token_ids)

    def _look(self, image: Image) -> None:
        count = len(image.embeddings)
        piece = self._piece if self._piece and image.is_causal else count
        for start in range(0, count, piece):
            cells = slice(start, start + piece)
            batch = MediaBatch(
                0,
                MediaPlace(self.position, count, image.num_positions),
                image.embeddings[cells],
                self._positions(image)[:, cells],
                is_causal=image.is_causal,
                wants_logits=start + piece >= count,
            )
            assert self.context.decode_media(batch) is DecodeStatus.OK
        self.position += image.num_positions

    def _positions(self, image: Image) -> NDArray[np.int32]:
        if not image.positions:
            return self.position + np.arange(len(image.embeddings), dtype=np.int32)[np.newaxis]
        found = np.frombuffer(image.positions, np.int32).reshape(-1, 4).T.copy()
        found[:3] += self.position
        return found
