"""Prompts with images, whose embeddings are in files as an encoder would have left them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from caravan.engine.media.values import MediaRun, SharedEmbeddings
from caravan.engine.params import GenerationRequest
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Image:
    """An image of some cells; equal names are equal images."""

    path: str
    embeddings: Floats
    num_positions: int
    positions: bytes = b""
    is_causal: bool = True

    @property
    def key(self) -> bytes:
        """Of all that an encoder would say of it."""
        said = self.embeddings.tobytes() + self.positions + bytes([self.is_causal])
        return hashlib.blake2b(said, digest_size=16).digest()

    def run(self, start: int) -> MediaRun:
        """The image at a place of a prompt."""
        rows, width = self.embeddings.shape
        return MediaRun(
            start=start,
            num_cells=rows,
            num_positions=self.num_positions,
            key=self.key,
            is_causal=self.is_causal,
            positions=self.positions,
            embeddings=SharedEmbeddings(path=self.path, offset=64, rows=rows, width=width),
        )


Part = Sequence[int] | Image


def image(
    folder: Path, embeddings: Floats, *, grid: tuple[int, int] | None = None, is_causal: bool = True
) -> Image:
    """Write an image's embeddings. With a `grid` of rows and columns it has places in it, as with M-RoPE."""
    found = Image("", embeddings, len(embeddings), is_causal=is_causal)
    if grid is not None:
        rows, columns = np.divmod(np.arange(len(embeddings)), grid[1])
        zeros = np.zeros_like(rows)
        positions = np.stack([zeros, rows, columns, zeros], 1).astype(np.int32).tobytes()
        found = Image("", embeddings, max(grid), positions, is_causal)
    path = folder / f"{found.key.hex()}.embeddings"
    path.write_bytes(bytes(64) + embeddings.astype(np.float32).tobytes())
    return replace(found, path=str(path))


def random_image(
    folder: Path,
    seed: int,
    num_cells: int,
    *,
    width: int = 4,
    grid: tuple[int, int] | None = None,
    is_causal: bool = True,
) -> Image:
    """An image of random numbers."""
    rng = np.random.default_rng(seed)
    embeddings = rng.standard_normal((num_cells, width)).astype(np.float32)
    return image(folder, embeddings, grid=grid, is_causal=is_causal)


def with_images(request: GenerationRequest, parts: Iterable[Part]) -> GenerationRequest:
    """The same request with a prompt of tokens and images."""
    token_ids: list[int] = []
    media: list[MediaRun] = []
    for part in parts:
        if isinstance(part, Image):
            media.append(part.run(len(token_ids)))
            token_ids += [-1] * len(part.embeddings)
        else:
            token_ids += part
    return msgspec.structs.replace(request, token_ids=tuple(token_ids), media=tuple(media))
