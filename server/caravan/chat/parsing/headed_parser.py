"""What the parsers of models have in common whose answers are messages with headers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.events import Event
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.tool_spec import ToolSpec


class HeadedParser(ABC):
    """Implements StreamParser. With `is_open`, the prompt ends inside a thought.

    `frames` are pairs of marks between which nothing is content, headers and later thoughts alike.
    """

    frames: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, tools: Sequence[ToolSpec] = (), *, is_open: bool = False, bound: bool = False) -> None:
        self._is_open = is_open
        self._reader = Reader()
        self._writer = EventWriter(tools, bound=bound)
        self._steps = self._run()
        next(self._steps)

    def feed(self, text: str) -> list[Event]:
        if text:
            self._reader.feed(text)
            next(self._steps)
        return self._writer.drain()

    def finish(self) -> list[Event]:
        self._reader.end()
        next(self._steps, None)
        self._writer.finish()
        return self._writer.drain()

    @abstractmethod
    def _run(self) -> Steps[None]:
        """Read the whole answer."""
