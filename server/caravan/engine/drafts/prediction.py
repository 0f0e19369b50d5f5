"""Drafts from a text that the client expects the answer to be much like."""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate

from caravan.engine.drafts.proposer import DraftSource

# Bytes at the answer's end by which its place is found again, most first: the last of them near by alone.
_TRACES = (48, 24, 12)
_SHORT_TRACE = 6
_NEAR = 256
# After so many bytes in agreement a place was no accident.
_SURE = 24


class PredictedText:
    """A prediction as bytes, with the places of its tokens; the choices of a request share one."""

    def __init__(self, predicted_ids: Iterable[int], token_bytes: Callable[[int], bytes]) -> None:
        # Control tokens are no text.
        self._token_ids = [token_id for token_id in predicted_ids if token_bytes(token_id)]
        pieces = [token_bytes(token_id) for token_id in self._token_ids]
        self._starts = list(accumulate(map(len, pieces), initial=0))
        self.data = b"".join(pieces)

    def tokens_at(self, place: int, most: int) -> list[int]:
        """List tokens from a place on; none where no token begins there."""
        index = bisect_left(self._starts, place)
        return self._token_ids[index : index + most] if self._starts[index] == place else []


class PredictionProposer:
    """A place in the predicted text, which moves on with the answer.

    After a difference the place is lost until the answer's last bytes are found in the prediction: from where
    the two last agreed forwards, then backwards. Bytes are compared, not tokens: a model may cut the same
    text into others. It goes on with tokens of the prediction as soon as one begins at the place.
    """

    def __init__(
        self, predicted: PredictedText, num_prompt_tokens: int, token_bytes: Callable[[int], bytes]
    ) -> None:
        self._token_bytes = token_bytes
        self._predicted = predicted
        self._text = predicted.data
        self._num_read = num_prompt_tokens
        self._end = b""
        self._place: int | None = 0
        # Before it, the answer has been in agreement for certain.
        self._anchor = 0
        self._num_agreeing = _SURE

    @property
    def source(self) -> DraftSource:
        """The client."""
        return DraftSource.PREDICTION

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        """Guess what follows (`Proposer`)."""
        for token_id in token_ids[self._num_read :]:
            self._read(self._token_bytes(token_id))
        self._num_read = len(token_ids)
        return [] if self._place is None else self._predicted.tokens_at(self._place, most)

    def _read(self, piece: bytes) -> None:
        if not piece:
            return
        self._end = (self._end + piece)[-_TRACES[0] :]
        if self._place is not None and self._text.startswith(piece, self._place):
            self._place += len(piece)
            self._num_agreeing += len(piece)
        else:
            self._place = self._found()
        if self._place is not None and self._num_agreeing >= _SURE:
            self._anchor = self._place

    def _found(self) -> int | None:
        """Where the answer's end stands in the prediction."""
        if self._end[-_TRACES[-1] :] not in self._text:
            return self._found_near()
        for length in _TRACES:
            trace = self._end[-length:]
            if len(trace) < length:
                continue
            place = self._text.find(trace, max(0, self._anchor - length))
            if place < 0:
                place = self._text.rfind(trace, 0, self._anchor)
            if place >= 0:
                self._num_agreeing = length
                return place + length
        return self._found_near()

    def _found_near(self) -> int | None:
        trace = self._end[-_SHORT_TRACE:]
        if len(trace) < _SHORT_TRACE:
            return None
        place = self._text.find(trace, self._anchor, self._anchor + _NEAR)
        self._num_agreeing = 0
        return None if place < 0 else place + _SHORT_TRACE
