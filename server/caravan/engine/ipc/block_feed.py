"""What an engine tells of its blocks, for any number of listeners, who come when they like."""

import logging
from collections.abc import Callable, Sequence

from caravan.engine.block_books import BlockBooks
from caravan.engine.block_events import BLOCK_SIZE, AllBlocksCleared, BlockEvent
from caravan.engine.ipc import messages

log = logging.getLogger(__name__)

Listener = Callable[[Sequence[BlockEvent]], None]
Send = Callable[[messages.ToEngine], None]


class BlockFeed:
    """Passes events on, and keeps the books that a late listener is given first.

    The engine is asked to tell of blocks while there is a listener. All methods belong to one event loop.
    `send` posts a message to the present process of the engine, if there is one.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._root = b""
        self._listeners: dict[object, Listener] = {}
        self._books = BlockBooks()

    def subscribe(self, listener: Listener, root: bytes) -> Callable[[], None]:
        """Have `listener` told of all blocks, now as far as they are known, and of what changes; returns
        what ends that. Raises ValueError over a root other than that of the present listeners.
        """
        if self._listeners and root != self._root:
            raise ValueError("the blocks of this engine are told of by another root")
        ticket = object()
        if not self._listeners:
            self._root = root
            self._ask()
        elif self._books:
            listener(list(self._books.snapshot()))
        self._listeners[ticket] = listener
        return lambda: self._unsubscribe(ticket)

    def begin(self) -> None:
        """The engine has a new process: ask it, too."""
        if self._listeners:
            self._ask()

    def lose(self) -> None:
        """The engine's process has ended, and all that it had."""
        self.hear([AllBlocksCleared()])

    def hear(self, events: Sequence[BlockEvent]) -> None:
        """Take what the engine tells, and pass it on. What a listener raises is logged."""
        if not self._listeners:
            return
        self._books.add(events)
        for listener in list(self._listeners.values()):
            try:
                listener(events)
            except Exception:
                log.exception("one who listens for blocks has failed")

    def _ask(self) -> None:
        self._send(messages.WatchBlocks(self._root, BLOCK_SIZE))

    def _unsubscribe(self, ticket: object) -> None:
        if self._listeners.pop(ticket, None) is not None and not self._listeners:
            self._books = BlockBooks()
            self._send(messages.UnwatchBlocks())
