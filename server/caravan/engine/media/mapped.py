"""Embeddings of a request's images and sounds, mapped into the engine's process."""

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caravan.engine.media.keys import MAX_RUN, cells_of
from caravan.engine.media.values import MediaRun, SharedEmbeddings
from caravan.engine.params import GenerationRequest

_FLOAT_BYTES = 4
_KEY_BYTES = 16

# Those of one request, by their paths. Python keeps each open as long as it is mapped.
_Files = dict[str, mmap.mmap]


class MediaError(ValueError):
    """What a request says of its images does not fit it, the model, or what is in memory."""


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """What a context takes in the place of tokens: vectors of `width`, positions of `num_parts` numbers, and
    so many cells in one batch. With `width` 0, nothing.
    """

    width: int
    num_parts: int
    batch_size: int


@dataclass(frozen=True, slots=True, eq=False)
class MappedRun:
    """A `MediaRun` from cell `start` to `end` of its prompt, with its embeddings, float32 [cells, width].

    `cells` are what stands for them among tokens. `positions` are int32 [parts, cells], relative to the
    position of its first cell.
    """

    start: int
    end: int
    cells: list[int]
    num_positions: int
    is_causal: bool
    embeddings: NDArray[np.float32]
    positions: NDArray[np.int32]


def mapped(request: GenerationRequest, limits: MediaLimits) -> tuple[MappedRun, ...]:
    """Map what a request has in the place of tokens. It stays there as long as somebody holds it, even if the
    file is gone. Raises MediaError.
    """
    _check_places(request)
    cells = cells_of(request.token_ids, request.media)
    files: _Files = {}
    return tuple(_mapped(run, cells, limits, files) for run in request.media)


def with_runs(token_ids: Sequence[int], runs: Iterable[MappedRun]) -> list[int]:
    """List what stands for each cell of a prompt. Its choices have the numbers of an image in common, which
    are large.
    """
    cells = list(token_ids)
    for run in runs:
        cells[run.start : run.end] = run.cells
    return cells


def run_at(runs: Iterable[MappedRun], place: int) -> MappedRun | None:
    """Find the run that has a cell."""
    return next((run for run in runs if run.start <= place < run.end), None)


def num_until_run(runs: Iterable[MappedRun], place: int) -> int | None:
    """Count the tokens from a place on before the next run; None if none follows."""
    return min((run.start - place for run in runs if run.start >= place), default=None)


def _check_places(request: GenerationRequest) -> None:
    """Runs follow on each other, in the prompt and not in what it is continued from; all else are tokens."""
    end, num_media = 0, 0
    for run in request.media:
        if not end <= run.start or not 0 < run.num_cells <= MAX_RUN:
            raise MediaError("its images overlap, or have no cells")
        end, num_media = run.start + run.num_cells, num_media + run.num_cells
        if set(request.token_ids[run.start : end]) != {-1}:
            raise MediaError("there are tokens in the place of an image")
        if len(run.key) != _KEY_BYTES:
            raise MediaError("the key of an image has not 16 bytes")
    if end > len(request.token_ids) - request.num_continued or end > len(request.token_ids) - len(
        request.probes
    ):
        raise MediaError("its last image is no part of the prompt")
    if request.token_ids.count(-1) != num_media or min(request.token_ids) < -1:
        raise MediaError("a prompt token is outside the vocabulary")


def _mapped(run: MediaRun, cells: list[int], limits: MediaLimits, files: _Files) -> MappedRun:
    found = run.embeddings
    if not limits.width:
        raise MediaError("this engine takes no images")
    if (found.rows, found.width) != (run.num_cells, limits.width):
        raise MediaError(
            f"embeddings of {found.rows} x {found.width}, where {run.num_cells} x {limits.width} are wanted"
        )
    if not run.is_causal and run.num_cells > limits.batch_size:
        raise MediaError(
            f"an image of {run.num_cells} cells is computed at once, and a batch has {limits.batch_size}"
        )
    return MappedRun(
        start=run.start,
        end=run.start + run.num_cells,
        cells=cells[run.start : run.start + run.num_cells],
        num_positions=run.num_positions,
        is_causal=run.is_causal,
        embeddings=_embeddings(found, files),
        positions=_positions(run, limits.num_parts),
    )


def _embeddings(shared: SharedEmbeddings, files: _Files) -> NDArray[np.float32]:
    count = shared.rows * shared.width
    if shared.path not in files:
        try:
            with open(shared.path, "rb") as file:
                files[shared.path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise MediaError(f"the embeddings of an image cannot be read: {why}") from error
    pages = files[shared.path]
    # To read behind the end of what is mapped would end the process.
    if len(pages) < shared.offset + count * _FLOAT_BYTES or shared.offset < 0:
        raise MediaError("the embeddings of an image are cut off")
    found = np.frombuffer(pages, np.float32, count, shared.offset)
    # What is not finite would be in all that sees it. Both ends tell, and cost no array.
    if not np.isfinite(found.min()) or not np.isfinite(found.max()):
        raise MediaError("the embeddings of an image are not finite")
    return found.reshape(shared.rows, shared.width)


def _positions(run: MediaRun, num_parts: int) -> NDArray[np.int32]:
    if not run.positions:
        if num_parts != 1 or run.num_positions != run.num_cells:
            raise MediaError("the positions of an image are missing")
        return np.arange(run.num_cells, dtype=np.int32)[np.newaxis]
    if num_parts == 1 or len(run.positions) != run.num_cells * num_parts * np.dtype(np.int32).itemsize:
        raise MediaError("the positions of an image are not those of this model")
    rows = np.frombuffer(run.positions, np.int32).reshape(run.num_cells, num_parts)
    if (
        rows.min() < 0
        or rows[0, 0]
        or not rows[:, 0].max() < run.num_positions
        or (np.diff(rows[:, 0]) < 0).any()
    ):
        raise MediaError("the positions of an image do not go on")
    return np.ascontiguousarray(rows.T)
