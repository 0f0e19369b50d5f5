"""The lines of a batch that are still to be answered, handed out one by one."""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from caravan.api.batches.archive import Store
from caravan.api.batches.reading import body_of
from caravan.api.batches.values import Batch, Line
from caravan.runtime.threads import in_thread

T = TypeVar("T")

_PAGE = 256


class Insist(Protocol):
    """Does some work on the store as soon as that can be done."""

    def __call__(self, work: Callable[[Store], T]) -> Awaitable[T]: ...


class LinesToDo:
    """Many tasks take lines from here, each of which is handed out once; `close` must follow `open`.

    `has_room` says whether their owner may have more bytes; those of answers are told to `note`.
    """

    def __init__(self, batch: Batch, insist: Insist) -> None:
        self._batch = batch
        self._insist = insist
        self._fetching = asyncio.Lock()
        self._page: deque[Line] = deque()
        self._last: Line | None = None
        self._descriptor: int | None = None
        self._room = 0

    @property
    def has_room(self) -> bool:
        """Whether the answer of the line that was taken last may be kept."""
        return self._room > 0

    def note(self, num_bytes: int) -> None:
        """Count an answer: those of one page may be more than there is room for."""
        self._room -= num_bytes

    async def open(self) -> None:
        """Open the input. Raises OSError."""
        path = await self._insist(lambda store: store.files.path(self._batch.input_file_id))
        await in_thread(self._open, path)

    def _open(self, path: Path) -> None:
        # Noted here, so that it is closed whoever is cancelled meanwhile.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the input."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def next(self) -> Line | None:
        """Take the next line; None where there are no more."""
        async with self._fetching:
            if not self._page:
                found, self._room = await self._insist(partial(_page_of, self._batch, self._last))
                self._page.extend(found)
            if not self._page:
                return None
            self._last = self._page.popleft()
            return self._last

    async def body(self, line: Line) -> bytes:
        """Return the request of a line."""
        assert self._descriptor is not None
        text = await in_thread(os.pread, self._descriptor, line.length, line.start)
        return body_of(text)


def _page_of(batch: Batch, after: Line | None, store: Store) -> tuple[list[Line], int]:
    return store.batches.to_do(batch, after, _PAGE), store.files.room(batch.owner)
