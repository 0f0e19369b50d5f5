"""Log probabilities on their way out, each together with its token's text."""

from collections import deque

import msgspec

from caravan.engine.outputs import TokenLogprob


class PendingLogprobs:
    """Entries of tokens whose first character is not out yet, in the order in which they were drawn."""

    def __init__(self) -> None:
        self._held: deque[TokenLogprob] = deque()
        self._num_sent = 0

    def add(self, entry: TokenLogprob, offset: int, *, is_end: bool) -> None:
        """Hold an entry until the character at `offset` of the choice's text goes out."""
        self._held.append(msgspec.structs.replace(entry, offset=offset, is_end=is_end))

    def release(self, text: str, *, is_all: bool) -> tuple[TokenLogprob, ...]:
        """The entries that go with the next piece of text; with `is_all` all that are left."""
        self._num_sent += len(text)
        if not self._held:
            return ()
        released = []
        while self._held and (is_all or self._held[0].offset < self._num_sent):
            released.append(self._held.popleft())
        return tuple(released)
