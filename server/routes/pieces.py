"""JSON documents that are sent while they are made, because they may be too large to be there as a whole."""

from collections.abc import AsyncGenerator

from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_JSON = "application/json"


async def respond_in_pieces(pieces: AsyncGenerator[bytes, None]) -> Response:
    """The answer that `pieces` are. What fails before the first of them raises here."""
    first = await anext(pieces)
    second = await anext(pieces, None)
    if second is None:
        return Response(first, media_type=_JSON)
    return _Pieces(first + second, pieces)


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
