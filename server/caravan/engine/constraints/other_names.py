"""Names that may still come where others have come: no grammar knows of them, so it is asked ahead."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from llguidance import LLMatcher

from caravan.engine.constraints.unique_names import UnfinishedName

# Bytes of names as JSON spells them, the most usual first: where names are free, one question is enough.
_USUAL = b'abcdefghijklmnopqrstuvwxyz0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZ-"'
_BYTES = (*_USUAL, *(byte for byte in range(0x20, 0xF5) if byte not in _USUAL))
_ALL = frozenset(_BYTES)
# They are asked about first, beside the neighbours of bytes that have come: most often one of them can come.
_LIKELY = frozenset(b'aeist012_" ')
_MAX_LIKELY_PLACES = 16
_QUOTE, _SPACE = b'" '
# What may be asked, in questions of some microseconds each. To be sure that nothing but names that are taken
# can come takes all bytes, or what has to come.
_MAX_QUESTIONS = 6_000
_IF_FORCED = 10


class NameSearch:
    """Looks for a name that is not taken; `first_byte_id` is the first of the tokens that are a byte each."""

    def __init__(self, matcher: LLMatcher, first_byte_id: int) -> None:
        self._matcher = matcher
        self._first_byte_id = first_byte_id

    def finds_other(self, token_id: int, name: UnfinishedName) -> bool:
        """Whether, after a token, a name can become another one, or what looks like one is none after all.

        True where finding out would take too long.
        """
        num_begun = len(name.begun)
        tails = [taken[num_begun:] for taken in name.taken if taken.startswith(name.begun)]
        if not tails:
            return True
        if name.begun:
            taken = {tail[0] for tail in tails}
            free = next((byte for byte in _USUAL if byte not in taken), _QUOTE)
            if (
                free not in taken
                and self._matcher.validate_tokens([token_id, self._first_byte_id + free]) == 2
            ):
                return True
        after = self._after(self._matcher, [token_id])
        if after is None:
            return False
        if not name.begun and not self._follows(after, _QUOTE):
            return True
        # Before the quote, white space decides nothing.
        spaces = frozenset() if name.begun else frozenset([_SPACE])
        return self._is_likely(after, tails, spaces) or self._is_possible(after, tails, spaces)

    def _is_likely(self, after: LLMatcher, tails: list[bytes], spaces: frozenset[int]) -> bool:
        """Whether a few questions find another name."""
        waiting = [_Place(after, b"", tails)]
        for _ in range(_MAX_LIKELY_PLACES):
            if not waiting:
                break
            further = waiting.pop()
            place, tails = self._stepped(further), further.tails
            if place is None:
                continue
            known = {tail[0] for tail in tails} | spaces
            near = {byte + 1 for byte in known} | {byte - 1 for byte in known}
            forced = place.compute_ff_bytes()
            if self._differs(place, tails, forced, (near | _LIKELY) & _ALL - known):
                return True
            spaces = frozenset()
            waiting += _further(place, tails, len(forced) or 1)
            # Where the fewest have come, another one is found the soonest.
            waiting.sort(key=_num_come, reverse=True)
        return False

    def _is_possible(self, after: LLMatcher, tails: list[bytes], spaces: frozenset[int]) -> bool:
        """Whether there is another name, or too many questions are needed to know."""
        waiting = [_Place(after, b"", tails)]
        num_questions = 0
        while waiting and num_questions < _MAX_QUESTIONS:
            further = waiting.pop()
            place, tails = self._stepped(further), further.tails
            if place is None:
                continue
            known = {tail[0] for tail in tails} | spaces
            forced = place.compute_ff_bytes()
            if self._differs(place, tails, forced, [byte for byte in _BYTES if byte not in known]):
                return True
            spaces = frozenset()
            num_questions += _IF_FORCED if forced else len(_BYTES)
            waiting += _further(place, tails, len(forced) or 1)
            waiting.sort(key=_num_come, reverse=True)
        return bool(waiting)

    def _differs(self, place: LLMatcher, tails: list[bytes], forced: bytes, others: Collection[int]) -> bool:
        """Whether one of these bytes can come next, or the text can end."""
        if forced:
            return not any(tail.startswith(forced) or forced.startswith(tail) for tail in tails)
        return place.is_accepting() or any(self._follows(place, byte) for byte in others)

    def _stepped(self, place: "_Place") -> LLMatcher | None:
        if not place.step:
            return place.before
        return self._after(place.before, [self._first_byte_id + byte for byte in place.step])

    def _after(self, place: LLMatcher, run: list[int]) -> LLMatcher | None:
        if place.validate_tokens(run) != len(run):
            return None
        after = place.deep_copy()
        return after if after.consume_tokens(run) else None

    def _follows(self, place: LLMatcher, byte: int) -> bool:
        return place.validate_tokens([self._first_byte_id + byte]) == 1


@dataclass(frozen=True, slots=True)
class _Place:
    """Where names that are taken go on with these tails, a step behind what a matcher has read."""

    before: LLMatcher
    step: bytes
    tails: list[bytes]


def _num_come(place: _Place) -> int:
    return len(place.tails)


def _further(place: LLMatcher, tails: list[bytes], length: int) -> Iterator[_Place]:
    """The places behind what has to come next, or behind each byte that can, where names go on."""
    by_step: dict[bytes, list[bytes]] = {}
    for tail in tails:
        by_step.setdefault(tail[:length], []).append(tail[length:])
    # The quote that ends a name that is taken leaves nothing of it.
    return (_Place(place, step, rest) for step, rest in by_step.items() if all(rest))
