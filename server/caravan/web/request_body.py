"""Request bodies: read within limits of time, size and memory, unpacked, and parsed from their bytes."""

import asyncio
import codecs
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast

import anyio
from caravan_schemas.base import Schema
from caravan_schemas.common import ModelFields
from caravan_schemas.ollama_options import OllamaFields
from fastapi import Request
from starlette.types import Scope

from caravan.api.context import RequestContext, context_of
from caravan.api.validation.parse import Parsed, parse
from caravan.auth.principal import Principal
from caravan.config.settings import Settings
from caravan.errors import (
    InvalidRequestError,
    OverloadedError,
    RequestTimeoutError,
    RequestTooLargeError,
)
from caravan.models import ModelRegistry
from caravan.runtime.gc_tuning import OlderSpared
from caravan.runtime.json_size import JsonSize, checked_size
from caravan.runtime.machine import require_memory
from caravan.runtime.threads import FairLimiter, in_thread
from caravan.web.body_encoding import decoded_body

S = TypeVar("S", bound=Schema)
T = TypeVar("T")

# Bodies that are read in a millisecond or two, for which a thread is not worth its while.
_SMALL = 16_384
# Those of no more bytes than these do not wait for larger ones.
_MIDDLE = 262_144
_LONGEST_REST = 0.25
# Who has not sent a whole body in this time makes room for others that send theirs.
_GRACE_SECONDS = 1.0
_RETRY_SECONDS = 2
# A key may hold so many times what is free, so that there is always something free for another (Choudhury and
# Hahne, 1998): three quarters of all if it is alone, three sevenths each if there are two.
_TIMES_FREE = 3
_HELD = "caravan.held_body"
# Of so many bytes of requests, a collection of garbage takes long to look through the objects.
_MUCH = 8_388_608
_OTHERS_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


class BodyBudget:
    """At most `limit` bytes for all bodies, of which no key takes all. Belongs to one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[HeldBody, None] = {}
        self._owned: Counter[str] = Counter()
        self.num_bytes = 0
        self._older = OlderSpared()

    def hold(self, body: "HeldBody", num_bytes: int) -> None:
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
        if self.num_bytes > _MUCH:
            self._older.update(is_much=True)

    def release(self, body: "HeldBody") -> None:
        """Give back what a request has taken, for good."""
        body.is_released = True
        if body in self._held:
            del self._held[body]
            was_much = self.num_bytes > _MUCH
            self.num_bytes -= body.num_bytes
            self._owned[body.owner] -= body.num_bytes
            if not self._owned[body.owner]:
                del self._owned[body.owner]
            if was_much:
                self._older.update(is_much=self.num_bytes > _MUCH)

    def _is_too_much(self, body: "HeldBody", num_bytes: int) -> bool:
        """Whether a key that has other bodies here would take what is there for other keys."""
        owned = self._owned[body.owner] if body.owner else 0
        if owned <= body.num_bytes:
            return False
        return owned + num_bytes > _TIMES_FREE * (self._limit - self.num_bytes - num_bytes)

    def _slowest(self, newcomer: "HeldBody") -> "HeldBody | None":
        """The one that has been sending for the longest, and long enough."""
        latest = asyncio.get_running_loop().time() - _GRACE_SECONDS
        for body in self._held:
            if body.waiting is not None and body is not newcomer and body.began <= latest:
                return body
        return None


class HeldBody:
    """What one request's body takes, from its first byte until the request has been answered."""

    def __init__(self, budget: BodyBudget, owner: str = "") -> None:
        self._budget = budget
        self.owner = owner
        self.num_bytes = 0
        self.began = 0.0
        self.is_released = False
        # While it is sent: when rescheduled, the wait ends.
        self.waiting: asyncio.Timeout | None = None

    async def receive(self, pieces: AsyncIterator[bytes], max_bytes: int, seconds: float) -> bytes:
        """Read the whole body. Raises RequestTimeoutError, RequestTooLargeError and OverloadedError."""
        body = bytearray()
        try:
            async with asyncio.timeout(seconds) as self.waiting:
                async for piece in pieces:
                    if piece:
                        self.hold(len(piece))
                    body += piece
                    if len(body) > max_bytes:
                        raise _too_large(max_bytes)
        except TimeoutError as error:
            if not self.is_released:
                message = f"The body did not arrive within {seconds:g} seconds."
                raise RequestTimeoutError(message) from error
        finally:
            self.waiting = None
        if self.is_released:
            raise _made_room()
        return bytes(body)

    def hold(self, num_bytes: int) -> None:
        """Take so many bytes more. Raises OverloadedError."""
        self._budget.hold(self, num_bytes)

    def release(self) -> None:
        """Give all of it back, for good."""
        self._budget.release(self)


def held_body(scope: Scope) -> HeldBody | None:
    """Return what has been read of the body of a request, to be released at its end."""
    return cast("HeldBody | None", scope.get(_HELD))


class BodyThreads:
    """Bodies of about one size take turns: several readers at once would only take the interpreter's lock
    from each other, and from the event loop. Each key has a share of the time. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._small, self._middle, self._large = FairLimiter(1), FairLimiter(1), FairLimiter(1)
        self._threads = anyio.CapacityLimiter(2)

    async def at_once(self, work: Callable[[], T], principal: Principal) -> T:
        """Do `work` over a small body here. After each of hundreds, all else on the loop has its turn."""
        async with self._small.held(principal.id, principal.weight):
            result = work()
            await asyncio.sleep(0)
            return result

    @asynccontextmanager
    async def turn(self, size: int, principal: Principal) -> AsyncGenerator[None, None]:
        """Wait for the turn of a body of so many bytes, and have it until the block ends."""
        lane = self._middle if size <= _MIDDLE else self._large
        async with lane.held(principal.id, principal.weight):
            begun = time.monotonic()
            yield
            # One call into C holds the interpreter's lock. As much time is then the others', to catch up.
            await asyncio.sleep(min(_LONGEST_REST, time.monotonic() - begun))

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` on a thread."""
        return await in_thread(work, limiter=self._threads)


class BodyReader:
    """Reads the bodies of all requests, whose memory and threads they share."""

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        self._settings = settings
        self._registry = registry
        self.max_bytes = _body_limit(settings, registry)
        self.budget = BodyBudget(max(settings.max_held_bytes, self.max_bytes))
        self._threads = BodyThreads()

    async def read(self, request: Request, schema: type[S]) -> S:
        """Read the body as `schema`. The content type is not asked for: what is not JSON says so itself."""
        context, limit = context_of(request.scope), self.max_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise _too_large(limit)
        held = request.scope[_HELD] = HeldBody(self.budget, context.principal.id)
        body = await held.receive(request.stream(), limit, self._settings.body_seconds)
        encoding = request.headers.get("content-encoding", "")
        if len(body) <= _SMALL and not encoding:
            found = await self._threads.at_once(
                lambda: self._parsed(schema, _without_mark(body)), context.principal
            )
        else:
            found = await self._read_aside(schema, body, encoding, held, context.principal)
        read = report_ignored(found, context)
        if isinstance(read, ModelFields):
            read.model = self._registry.name_of(read.model, context.principal)
            # Names of Ollama's have tags, which its routes know.
            if not isinstance(read, OllamaFields):
                context.note_stay(read.keep_alive, read.model, self._registry)
        return read

    async def _read_aside(
        self, schema: type[S], body: bytes, encoding: str, held: HeldBody, principal: Principal
    ) -> Parsed[S]:
        """Read a large body on a thread, once it is known to have not too much in it."""

        def unpacked() -> tuple[bytes, JsonSize]:
            document = _without_mark(decoded_body(body, encoding, self.max_bytes))
            return document, checked_size(document)

        async with self._threads.turn(len(body), principal):
            document, size = await self._threads.run(unpacked)
            held.hold(len(document) - len(body) + size.num_bytes)
            require_memory(size.num_bytes, "the body")
            return await self._threads.run(lambda: self._parsed(schema, document))

    def _parsed(self, schema: type[S], document: bytes) -> Parsed[S]:
        return parse(schema, document, strict=self._settings.strict_fields)


def _without_mark(document: bytes) -> bytes:
    """Leave out a byte order mark of UTF-8, which says nothing. Raises InvalidRequestError over others."""
    if document.startswith(_OTHERS_MARKS):
        message = "The body must be JSON in UTF-8; it begins as UTF-16 or UTF-32 does."
        raise InvalidRequestError(message, code="invalid_json")
    return document.removeprefix(codecs.BOM_UTF8)


def _body_limit(settings: Settings, registry: ModelRegistry) -> int:
    """The most bytes: with room for an image where a model sees, and nobody has said otherwise."""
    limit = settings.max_body_bytes
    if "max_body_bytes" in settings.model_fields_set or not any(s.start_encoder for s in registry.specs):
        return limit
    return limit + int(settings.max_image_bytes) * 4 // 3


def report_ignored(found: Parsed[S], context: RequestContext) -> S:
    """Return what has been parsed, and have its sender told what of it has no effect."""
    context.metrics.ignore(found.ignored)
    context.metrics.note("x-caravan-replaced", found.replaced)
    return found.request


def _too_large(max_bytes: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is larger than {max_bytes} bytes.")


def _made_room() -> OverloadedError:
    message = "The body came slowly, and the server needs its memory for other requests."
    return OverloadedError(message, retry_after=_RETRY_SECONDS)
