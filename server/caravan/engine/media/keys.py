"""What stands for a cell of an image or a sound among the tokens of a text: a number that no token has.

It begins above all bits of tokens and of the marks of `CacheScope`, and has the key of its run, how many of
the run's cells are before it, and how many behind it. So equal numbers are cells of equal content, and lists
of them can be compared, matched and kept as tokens are.
"""

from collections.abc import Iterable, Sequence

from caravan.engine.media.values import MediaRun

# 32 bits of a token and 128 of a mark are below.
MEDIA_SHIFT = 160
_KEY_BYTES = 16
_COUNT_BITS = 24
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_BEFORE_SHIFT = MEDIA_SHIFT + 8 * _KEY_BYTES
_BEHIND_SHIFT = _BEFORE_SHIFT + _COUNT_BITS
# In the place of the token, which a cell of this kind has not.
_NO_TOKEN = (1 << 32) - 1
# Bytes that hold any number of a cell, with its mark.
CELL_BYTES = (_BEHIND_SHIFT + _COUNT_BITS) // 8
# A run of more has numbers that say something else.
MAX_RUN = _COUNT_MASK


def cells_of(token_ids: Sequence[int], media: Iterable[MediaRun]) -> list[int]:
    """List what stands for each cell of a prompt: its token, or its number in an image or a sound."""
    cells = list(token_ids)
    for run in media:
        first = int.from_bytes(run.key, "little") << MEDIA_SHIFT | _NO_TOKEN
        last = run.num_cells - 1
        cells[run.start : run.start + run.num_cells] = [
            first | place << _BEFORE_SHIFT | (last - place) << _BEHIND_SHIFT for place in range(last + 1)
        ]
    return cells


def is_media(cell: int) -> bool:
    """Tell whether this is a cell of an image or a sound, and no token."""
    return cell >> MEDIA_SHIFT > 0


def is_last(cell: int) -> bool:
    """Tell whether this is the last cell of its run."""
    return is_media(cell) and not cell >> _BEHIND_SHIFT


def num_whole(cells: Sequence[int], length: int) -> int:
    """Count the cells of a prefix that splits no run: `length` of them, or as many as are before the run that
    it would end in.
    """
    if not length or (last := cells[length - 1]) >> MEDIA_SHIFT == 0 or not last >> _BEHIND_SHIFT:
        return length
    return length - 1 - (last >> _BEFORE_SHIFT & _COUNT_MASK)
