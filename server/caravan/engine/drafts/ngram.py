"""Drafts from the text itself: what came after the place that was most like its end."""

from dataclasses import dataclass

import numpy as np

from caravan.engine.drafts.gram_index import GramIndex, Ids
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.media.keys import is_media

# The fewest tokens that say where a text may be, and as many as tell apart the places of a usual run.
_SHORT, _LONG = 3, 8
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
