"""Drafts from the text itself: what came after the place that was most like its end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.media.keys import is_media

_MASK = (1 << 64) - 1
# An odd number without a pattern (Steele and Vigna, 2021, for multiplicative generators modulo 2^64).
_FACTOR = 0xD1342543DE82EF95
# So many new runs are looked up in a dictionary, or a share of the old ones, before all are sorted again.
_MIN_NEW = 1024
_NEW_SHARE = 4
# Fewer than this are added one by one.
_FEW = 48

Ids = NDArray[np.int32]
Hashes = NDArray[np.uint64]

# The fewest tokens that say where a text may be, and as many as tell apart the places of a usual run.
_SHORT, _LONG = 3, 8
# Places that are compared, the latest ones, and tokens of each.
_MAX_PLACES = 64
_MAX_COMPARED = 32
_NOTHING = -1


class GramIndex:
    """Knows of runs of `width` tokens by hash: what it finds is to be compared."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._num_known = width - 1
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._ends: Ids = np.empty(0, np.int32)
        self._new: dict[int, list[int]] = {}
        self._num_new = 0

    def extend(self, token_ids: list[int], text: Ids, end: int) -> None:
        """Take in the runs that end up to `end`. Both are the text, which only grows."""
        num_added = end - self._num_known
        if num_added <= 0:
            return
        if num_added > _FEW or self._num_new + num_added > max(_MIN_NEW, len(self._ends) // _NEW_SHARE):
            self._sort(text[:end])
        else:
            for place in range(self._num_known + 1, end + 1):
                self._new.setdefault(_hash(token_ids[place - self._width : place]), []).append(place)
            self._num_new += num_added
        self._num_known = end

    def ends(self, run: list[int], most: int) -> list[int]:
        """Where a run may have ended, the latest first, at most so many places."""
        wanted = _hash(run)
        found = self._new.get(wanted, [])[: -most - 1 : -1]
        if len(found) < most:
            key = np.uint64(wanted)
            low = int(self._hashes.searchsorted(key, "left"))
            if low < len(self._hashes) and self._hashes[low] == key:
                high = int(self._hashes.searchsorted(key, "right"))
                low = max(low, high - most + len(found))
                found += self._ends[low:high][::-1].tolist()
        return found

    def _sort(self, text: Ids) -> None:
        hashes = _hashes(text, self._width)
        order = hashes.argsort(kind="stable")
        self._hashes = hashes[order]
        self._ends = (order + self._width).astype(np.int32)
        self._new, self._num_new = {}, 0


def _hashes(text: Ids, width: int) -> Hashes:
    """The hashes of all runs of a text, in the order of their ends."""
    tokens = text.astype(np.uint64)
    count = len(tokens) - width + 1
    found: Hashes = np.zeros(max(0, count), np.uint64)
    for offset in range(width if count > 0 else 0):
        found = found * np.uint64(_FACTOR) + tokens[offset : offset + count]
    return found


def _hash(run: list[int]) -> int:
    found = 0
    for token_id in run:
        found = (found * _FACTOR + token_id) & _MASK
    return found


@dataclass(frozen=True, slots=True)
class _Match:
    """So many tokens before a place are those at the text's end."""

    place: int
    length: int


class NgramProposer:
    """Finds the longest end of the text, from 3 tokens, that stands in it before: of several the latest.

    Agreement is looked at for 32 tokens back, among the 64 latest places of the last 3 tokens or, where there
    are more, of the last 8. Of texts that agree in few tokens, few more agree, so a guess is no longer than
    what agreed; over code, prose and records that spared two guessed tokens of three, for one step in fifty.
    A text that has been going round goes on going round.
    Nothing is kept or computed before the first question.
    """

    def __init__(self) -> None:
        self._short, self._long = GramIndex(_SHORT), GramIndex(_LONG)
        self._num_known = 0
        # Tokens after as many of none as are compared, so that no comparison leaves the array.
        self._text: Ids = np.full(_MAX_COMPARED, _NOTHING, np.int32)
        self._back = np.arange(1, _MAX_COMPARED + 1)

    @property
    def source(self) -> DraftSource:
        """The text itself."""
        return DraftSource.NGRAM

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        """Guess what follows (`Proposer`)."""
        self._take(token_ids)
        match = self._latest_longest(token_ids)
        return [] if match is None else _going_on(token_ids, match.place, min(most, match.length))

    def _take(self, token_ids: list[int]) -> None:
        count, known = len(token_ids), self._num_known
        if len(self._text) < count + _MAX_COMPARED:
            room = np.full(_MAX_COMPARED + 2 * count, _NOTHING, np.int32)
            room[: known + _MAX_COMPARED] = self._text[: known + _MAX_COMPARED]
            self._text = room
        self._text[known + _MAX_COMPARED : count + _MAX_COMPARED] = _as_tokens(token_ids[known:])
        self._num_known = count

    def _latest_longest(self, token_ids: list[int]) -> _Match | None:
        places = self._places(self._short, token_ids, _SHORT)
        if len(places) == _MAX_PLACES:
            # Older ones may agree further than any of these.
            places = self._places(self._long, token_ids, _LONG) or places
        if not places:
            return None
        ends = np.array(places, np.int64)
        lengths = self._lengths(ends)
        best = int(lengths.argmax())
        # Runs may have a hash in common without being the same.
        return _Match(places[best], int(lengths[best])) if lengths[best] >= _SHORT else None

    def _places(self, index: GramIndex, token_ids: list[int], width: int) -> list[int]:
        """The latest places after the last tokens, but for the end itself."""
        if len(token_ids) <= width:
            return []
        index.extend(token_ids, self._text[_MAX_COMPARED:], len(token_ids) - 1)
        return index.ends(token_ids[-width:], _MAX_PLACES)

    def _lengths(self, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Ids:
        """How many tokens before each place are those at the text's end."""
        end = self._num_known + _MAX_COMPARED
        differs = self._text[places[:, None] + (_MAX_COMPARED - self._back)] != self._text[end - self._back]
        lengths: Ids = np.where(differs.any(1), differs.argmax(1), _MAX_COMPARED)
        return lengths


def _going_on(token_ids: list[int], place: int, most: int) -> list[int]:
    """What stands at a place, and again from there where that reaches the text's end."""
    found = token_ids[place : place + most]
    period = len(token_ids) - place
    while len(found) < most:
        found += found[-period:][: most - len(found)]
    return found


def _as_tokens(cells: list[int]) -> list[int]:
    """The tokens, and something that is none in the place of images."""
    if not is_media(max(cells, default=0)):
        return cells
    return [_NOTHING if is_media(cell) else cell for cell in cells]
