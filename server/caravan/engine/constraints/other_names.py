"""Names that may still come where others have come: no grammar knows of them, so it is asked ahead."""

from collections.abc import Iterator

from llguidance import LLMatcher

from caravan.engine.constraints.unique_names import UnfinishedName

# Bytes of names as JSON spells them, the most usual first: where names are free, one question is enough.
_USUAL = b'abcdefghijklmnopqrstuvwxyz0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZ-"'
_BYTES = (*_USUAL, *(byte for byte in range(0x20, 0xF5) if byte not in _USUAL))
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
        after = self._after(self._matcher, [token_id])
        if after is None:
            return False
        if not name.begun and not self._follows(after, _QUOTE):
            return True
        waiting = [(after, tails)]
        num_questions = 0
        while waiting and num_questions < _MAX_QUESTIONS:
            place, tails = waiting.pop()
            forced = place.compute_ff_bytes()
            # Before the quote, white space decides nothing.
            spaces = () if name.begun or num_questions else (_SPACE,)
            known = {*(tail[0] for tail in tails), *spaces}
            if self._differs(place, tails, forced, known):
                return True
            num_questions += _IF_FORCED if forced else len(_BYTES)
            waiting += self._further(place, tails, len(forced) or 1)
            # Where the fewest have come, another one is found the soonest.
            waiting.sort(key=lambda further: -len(further[1]))
        return bool(waiting)

    def _differs(self, place: LLMatcher, tails: list[bytes], forced: bytes, known: set[int]) -> bool:
        """Whether something else than what is known can come next, the end of the text included."""
        if forced:
            return not any(tail.startswith(forced) or forced.startswith(tail) for tail in tails)
        others = (byte for byte in _BYTES if byte not in known)
        return place.is_accepting() or any(self._follows(place, byte) for byte in others)

    def _further(
        self, place: LLMatcher, tails: list[bytes], length: int
    ) -> Iterator[tuple[LLMatcher, list[bytes]]]:
        """The places behind what has to come next, or behind each byte that can, where names go on."""
        for step in {tail[:length] for tail in tails}:
            # The quote that ends a name that is taken leaves nothing of it.
            rest = [tail[length:] for tail in tails if tail.startswith(step)]
            after = self._after(place, [self._first_byte_id + byte for byte in step]) if all(rest) else None
            if after is not None:
                yield after, rest

    def _after(self, place: LLMatcher, run: list[int]) -> LLMatcher | None:
        if place.validate_tokens(run) != len(run):
            return None
        after = place.deep_copy()
        return after if after.consume_tokens(run) else None

    def _follows(self, place: LLMatcher, byte: int) -> bool:
        return place.validate_tokens([self._first_byte_id + byte]) == 1
