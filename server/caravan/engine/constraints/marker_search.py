"""Markers in text that comes token by token, wherever the tokens' borders are."""

import copy
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """Where a marker begins and ends, in bytes from the newest token's first; `start` may be negative."""

    start: int
    end: int


class MarkerSearch:
    """Finds the marker that ends first, of several that end there the longest, in a tail of the text."""

    def __init__(self, markers: Collection[bytes]) -> None:
        self._markers = markers
        self._room = max(map(len, markers), default=1) - 1
        self._text = b""
        self._pieces: deque[tuple[int | None, bytes]] = deque()

    def copied(self) -> "MarkerSearch":
        """A search that has come as far."""
        twin = copy.copy(self)
        twin._pieces = deque(self._pieces)
        return twin

    def missing(self, token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Return these tokens less those at their beginning that were the last to come."""
        recent = self._token_ids
        for length in range(min(len(token_ids) - 1, len(recent)), 0, -1):
            if recent[-length:] == token_ids[:length]:
                return token_ids[length:]
        return token_ids

    @property
    def _token_ids(self) -> tuple[int, ...]:
        """The newest tokens that are kept, parts of tokens and all before them left out."""
        whole: list[int] = []
        for token_id, _ in self._pieces:
            if token_id is None:
                whole.clear()
            else:
                whole.append(token_id)
        return tuple(whole)

    def find(self, text: bytes) -> Found | None:
        """Find the first marker that would end in `text`, if that came next."""
        known = len(self._text)
        whole = self._text + text
        places = (
            (at + len(marker), at)
            for marker in self._markers
            if (at := whole.find(marker, max(0, known - len(marker) + 1))) >= 0
        )
        first = min(places, default=None)
        return None if first is None else Found(first[1] - known, first[0] - known)

    def push(self, token_id: int | None, text: bytes) -> None:
        """Go on by a token, or by a part of one (None), without a marker."""
        if not text:
            return
        self._pieces.append((token_id, text))
        self._text += text
        while self._pieces and len(self._text) - len(self._pieces[0][1]) >= self._room:
            self._text = self._text[len(self._pieces.popleft()[1]) :]

    def since(self, found: Found, token_id: int | None, text: bytes) -> tuple[bytes, tuple[int, ...]]:
        """Return what has come since a marker began: bytes up to the end of a token, then whole tokens."""
        head, token_ids, position = b"", [], -len(self._text)
        for piece_id, piece in (*self._pieces, (token_id, text)):
            if position >= found.start and piece_id is not None:
                token_ids.append(piece_id)
            else:
                head += piece[max(0, found.start - position) :]
            position += len(piece)
        return head, tuple(token_ids)

    def bytes_since(self, found: Found, text: bytes) -> bytes:
        """Return the same, all of it as bytes."""
        return (self._text + text)[len(self._text) + found.start :]
