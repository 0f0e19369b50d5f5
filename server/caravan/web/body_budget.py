"""The memory that the bodies of all requests together may take."""

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.errors import OverloadedError
from caravan.web.request_context import context_of

# Who has not sent a whole body in this time makes room for others that send theirs.
_GRACE_SECONDS = 1.0
_RETRY_SECONDS = 2
# A key may hold so many times what is free, so that there is always something free for another (Choudhury and
# Hahne, 1998): three quarters of all if it is alone, three sevenths each if there are two.
_TIMES_FREE = 3
_STATE = "caravan.held_body"


class HeldBody:
    """What one request's body takes, from its first byte until the request has been answered."""

    def __init__(self, owner: str = "") -> None:
        self.num_bytes = 0
        self.owner = owner
        self.began = 0.0
        self.is_whole = False
        self.is_released = False
        # While more of it is waited for: when rescheduled, the wait ends.
        self.waiting: asyncio.Timeout | None = None


class BodyBudget:
    """At most `limit` bytes for all bodies, of which no key takes all. Belongs to one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[HeldBody, None] = {}
        self._owned: Counter[str] = Counter()
        self.num_bytes = 0

    @property
    def num_bodies(self) -> int:
        """How many requests hold something."""
        return len(self._held)

    def hold(self, body: HeldBody, num_bytes: int) -> None:
        """Take so many bytes more; slow senders make room. Raises OverloadedError."""
        if body.is_released:
            raise _made_room()
        if self._is_too_much(body, num_bytes):
            message = "The server holds too much of this key's requests for one more at the moment."
            raise OverloadedError(message, retry_after=_RETRY_SECONDS)
        while self.num_bytes + num_bytes > self._limit:
            slow = self._slowest(body)
            if slow is None:
                message = "The server has no memory for the bodies of more requests at the moment."
                raise OverloadedError(message, retry_after=_RETRY_SECONDS)
            self.release(slow)
            assert slow.waiting is not None
            slow.waiting.reschedule(0)
        if body not in self._held:
            body.began = asyncio.get_running_loop().time()
            self._held[body] = None
        body.num_bytes += num_bytes
        self.num_bytes += num_bytes
        self._owned[body.owner] += num_bytes

    def release(self, body: HeldBody) -> None:
        """Give back what a request has taken, for good."""
        body.is_released = True
        if body in self._held:
            del self._held[body]
            self.num_bytes -= body.num_bytes
            self._owned[body.owner] -= body.num_bytes
            if not self._owned[body.owner]:
                del self._owned[body.owner]

    def _is_too_much(self, body: HeldBody, num_bytes: int) -> bool:
        """Whether a key that has other bodies here would take what is there for other keys."""
        owned = self._owned[body.owner] if body.owner else 0
        if owned <= body.num_bytes:
            return False
        return owned + num_bytes > _TIMES_FREE * (self._limit - self.num_bytes - num_bytes)

    def _slowest(self, newcomer: HeldBody) -> HeldBody | None:
        """The one that has been sending for the longest, and long enough."""
        latest = asyncio.get_running_loop().time() - _GRACE_SECONDS
        for body in self._held:
            if body.waiting is not None and body is not newcomer and body.began <= latest:
                return body
        return None


class BodyMeter:
    """ASGI middleware that counts what routes read of bodies against the budget."""

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        body = scope[_STATE] = HeldBody(context.principal.id)

        async def counting() -> Message:
            if body.is_whole:
                return await receive()
            message = await _awaited(body, receive)
            body.is_whole = not message.get("more_body", False)
            if size := len(message.get("body", b"")):
                self._budget.hold(body, size)
            return message

        entry = context.metrics
        try:
            await self._app(scope, counting, send)
        finally:
            if entry.continuing is None:
                self._budget.release(body)
            else:
                entry.continuing.add_done_callback(lambda _: self._budget.release(body))


def held_body(scope: Scope) -> HeldBody:
    """What the body of this request takes."""
    body = scope[_STATE]
    assert isinstance(body, HeldBody)
    return body


async def _awaited(body: HeldBody, receive: Receive) -> Message:
    """The next piece of a body; raises OverloadedError where it has to make room before that comes."""
    try:
        async with asyncio.timeout(None) as body.waiting:
            return await receive()
    except TimeoutError:
        raise _made_room() from None
    finally:
        body.waiting = None


def _made_room() -> OverloadedError:
    message = "The body came slowly, and the server needs its memory for other requests."
    return OverloadedError(message, retry_after=_RETRY_SECONDS)
