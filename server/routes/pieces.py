"""JSON documents that are sent piece by piece, because they are large, or while they are made."""

from collections.abc import AsyncGenerator

from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_JSON = "application/json"
_PIECE_BYTES = 262_144


async def respond_in_pieces(pieces: AsyncGenerator[bytes, None]) -> Response:
    """The answer that `pieces` are. What fails before the first of them raises here."""
    first = await anext(pieces)
    second = await anext(pieces, None)
    if second is None:
        return JsonResponse(first)
    return _Pieces(first + second, pieces)


class JsonResponse(Response):
    """A document that is there; as much of it at a time as is copied in no time, and as the client reads."""

    media_type = _JSON

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if len(self.body) <= _PIECE_BYTES:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        document = memoryview(self.body)
        for start in range(0, len(document), _PIECE_BYTES):
            piece = bytes(document[start : start + _PIECE_BYTES])
            is_last = start + _PIECE_BYTES >= len(document)
            await send({"type": "http.response.body", "body": piece, "more_body": not is_last})


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
