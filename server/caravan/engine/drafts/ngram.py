"""Drafts from the text itself: what came after the place that was most like its end."""

from dataclasses import dataclass

import numpy as np

from caravan.engine.drafts.gram_index import GramIndex, Ids
from caravan.engine.drafts.proposer import DraftSource

# The fewest tokens that say where a text may be, and as many as tell apart places that have these in common.
_WIDTHS = (8, 3)
# Places that are compared, the latest ones, and tokens of each.
_MAX_PLACES = 64
_MAX_COMPARED = 32
_NOTHING = -1


@dataclass(frozen=True, slots=True)
class _Match:
    """So many tokens before a place are those at the text's end."""

    place: int
    length: int


class NgramProposer:
    """Finds the longest end of the text, from 3 tokens, that stands in it before: of several the latest.

    Agreement is looked at for 32 tokens back, among the 64 latest places of the last 8 tokens, else of the
    last 3. Of texts that agree in few tokens, few more agree, so a guess is no longer than what agreed; over
    code, prose and records that spared two guessed tokens of three, for one step in fifty. A text that
    has been going round goes on going round.
    Nothing is kept or computed before the first question.
    """

    def __init__(self) -> None:
        self._indices = [GramIndex(width) for width in _WIDTHS]
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
        self._text[known + _MAX_COMPARED : count + _MAX_COMPARED] = token_ids[known:]
        self._num_known = count
        # Not the end itself, which would be found as the best place for it.
        for index in self._indices:
            index.extend(token_ids, self._text[_MAX_COMPARED:], count - 1)

    def _latest_longest(self, token_ids: list[int]) -> _Match | None:
        for width, index in zip(_WIDTHS, self._indices, strict=True):
            if len(token_ids) <= width:
                continue
            places = np.array(index.ends(token_ids[-width:], _MAX_PLACES), np.int64)
            if not len(places):
                continue
            lengths = self._lengths(places)
            best = int(lengths.argmax())
            # Runs may have a hash in common without being the same.
            if lengths[best] >= width:
                return _Match(int(places[best]), int(lengths[best]))
        return None

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
