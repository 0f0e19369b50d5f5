"""Responses as routes are given them: those that end with their client, and those that go on alone."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing

from caravan_schemas.responses_events import ErrorEvent

from caravan.api.output.encoding import padded_event, to_event
from caravan.api.responses.run import ResponseRun
from caravan.errors import CaravanError
from caravan.runtime.threads import cancel_and_wait, to_the_end

# Events that are padded in a few milliseconds.
_AT_ONCE = 256


class Background:
    """A run that goes on alone in its `task` until it ends or is cancelled; many can follow its events."""

    def __init__(self, run: ResponseRun) -> None:
        self.run = run
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._drive())
        run.context.metrics.continuing = self.task

    def when_done(self, then: Callable[[], object]) -> None:
        """Call `then` once the run has ended, however it did."""
        self.task.add_done_callback(lambda _: then())

    async def end(self, fault: CaravanError | None = None) -> None:
        """Cancel the run, or fail it by `fault`; returns when that is stored."""
        self.run.fault = fault
        self.task.cancel()
        await asyncio.wait([self.task])

    async def follow(self, first: int) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of events from number `first` on, as they come."""
        while True:
            changed, is_done = self._changed, self.task.done()
            if together := self.run.log[first:]:
                yield together
                first += len(together)
            if is_done:
                return
            await changed.wait()

    async def _drive(self) -> None:
        try:
            async with aclosing(self.run.events()) as events:
                async for _ in events:
                    self._notify()
        finally:
            await self.run.aclose()
            asyncio.get_running_loop().call_soon(self._notify)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class ResponseAnswer:
    """What a service hands to a route, which closes it; so ends the run, unless that goes on alone.

    `detach` starts one that does.
    """

    def __init__(self, run: ResponseRun, detach: Callable[[ResponseRun], Background]) -> None:
        self.stream = bool(run.request.stream)
        options = run.request.stream_options
        self._is_padded = options is not None and bool(options.include_obfuscation)
        self._run = run
        self._detach = detach
        self._background: Background | None = None
        self._beginning: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """End the run, unless it goes on alone."""
        await to_the_end(self._close())

    async def whole(self) -> bytes:
        """The JSON of the response: complete, or queued."""
        await self._begin(None)
        if self._background is None:
            async with aclosing(self._run.events()) as events:
                async for _ in events:
                    pass
        if self._run.error is not None:
            raise self._run.error
        return to_event(self._run.response)

    async def start(self, seconds: float) -> None:
        """Begin, and wait for the first output or `seconds`; a failure before that is raised here."""
        self._beginning = asyncio.create_task(self._begin(seconds))
        await asyncio.wait([self._beginning], timeout=seconds)
        if self._beginning.done():
            self._beginning.result()

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, those together that are there together."""
        assert self._beginning is not None
        try:
            await self._beginning
        except CaravanError as error:
            self._run.context.metrics.fail(error.code)
            yield [to_event(_error_event(error))]
            return
        events = self._run.events() if self._background is None else self._background.follow(0)
        async with aclosing(events):
            async for together in events:
                for some in _in_turns(together, is_padded=self._is_padded):
                    yield some
        if self._run.error is not None:
            self._run.context.metrics.fail(self._run.error.code)

    async def _close(self) -> None:
        if self._beginning is not None:
            await cancel_and_wait(self._beginning)
        if self._background is None:
            await self._run.aclose()

    async def _begin(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (seconds or 0.0)
        await self._run.read()
        if self._run.request.background:
            await self._run.enqueue()
            await self._run.keep()
            self._background = self._detach(self._run)
            return
        await self._run.prepare()
        if seconds is not None:
            await self._run.start(max(0.0, deadline - loop.time()))
        await self._run.keep()


class Replay:
    """Events that are read once more, as `ResponseAnswer` gives them."""

    stream = True

    def __init__(self, events: AsyncGenerator[Sequence[bytes], None], *, is_padded: bool) -> None:
        self._events = events
        self._is_padded = is_padded

    async def whole(self) -> bytes:
        """Events are all there is."""
        raise AssertionError("a replay is a stream")

    async def aclose(self) -> None:
        """Stop reading; what is read goes on."""
        await self._events.aclose()

    async def start(self, seconds: float) -> None:
        """All has been found by now."""

    async def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, those together that are there together."""
        async for together in self._events:
            for some in _in_turns(together, is_padded=self._is_padded):
                yield some
                # What was stored is all there at once; others stream meanwhile.
                await asyncio.sleep(0)


def _in_turns(events: Sequence[bytes], *, is_padded: bool) -> Iterator[Sequence[bytes]]:
    """A few at a time, padded where their sizes are to be hidden."""
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        yield [padded_event(data) for data in some] if is_padded else some


def _error_event(error: CaravanError) -> ErrorEvent:
    return ErrorEvent(
        type="error", sequence_number=0, code=error.code, message=error.message, param=error.param
    )
