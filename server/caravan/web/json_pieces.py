"""JSON documents that are sent piece by piece, because they are large, or while they are made."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from caravan.api.output.encoding import Document

_JSON = "application/json"
_PIECE_BYTES = 262_144


async def respond_in_pieces(pieces: AsyncGenerator[bytes, None]) -> Response:
    """Answer with these pieces of a document. What fails before the first of them is raised here."""
    first = await anext(pieces)
    second = await anext(pieces, None)
    if second is None:
        return JsonResponse(first)
    return _Pieces(first + second, pieces)


class JsonResponse(Response):
    """A document that is there; as much of it at a time as is copied in no time, and as the client reads.

    What has been sent is forgotten.
    """

    media_type = _JSON

    def __init__(self, document: Document) -> None:
        pieces = [document] if isinstance(document, bytes) else document
        self._length = sum(map(len, pieces))
        is_small = self._length <= _PIECE_BYTES
        super().__init__(b"".join(pieces) if is_small else b"", headers={"content-length": str(self._length)})
        self._pieces = deque(() if is_small else pieces)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if not self._pieces:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        left = self._length
        for part in _parts(self._pieces):
            left -= len(part)
            await send({"type": "http.response.body", "body": part, "more_body": left > 0})
            # A client that reads as fast as we send would have all of it in one turn of the event loop.
            await asyncio.sleep(0)


def _parts(pieces: deque[bytes]) -> Iterator[bytes]:
    """All that is in the pieces, which are taken out of their queue; small ones together."""
    small: list[bytes] = []
    size = 0
    while pieces:
        piece = pieces.popleft()
        if small and size + len(piece) > _PIECE_BYTES:
            yield b"".join(small)
            small, size = [], 0
        if len(piece) <= _PIECE_BYTES:
            small.append(piece)
            size += len(piece)
            continue
        view = memoryview(piece)
        yield from (bytes(view[at : at + _PIECE_BYTES]) for at in range(0, len(piece), _PIECE_BYTES))
    if small:
        yield b"".join(small)


class _Pieces(StreamingResponse):
    """Goes on as fast as the client reads, and closes what makes the pieces when it ends, however it ends."""

    def __init__(self, begun: bytes, pieces: AsyncGenerator[bytes, None]) -> None:
        self._begun, self._pieces = begun, pieces
        super().__init__(self._all(), media_type=_JSON)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._pieces.aclose()

    async def _all(self) -> AsyncGenerator[bytes, None]:
        yield self._begun
        self._begun = b""
        async for piece in self._pieces:
            yield piece
