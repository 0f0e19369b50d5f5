"""What a chat model's text says: its content, its thought and its calls, read as it comes."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from caravan_schemas.chat import ChatFinishReason

from caravan.api.structured.checker import Call, ParsedAnswer
from caravan.chat.parsing.custom_input import CustomInput
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta, Event
from caravan.chat.parsing.literals import is_object
from caravan.chat.parsing.stream_parser import StreamParser


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """`make_parser` gives each choice its own. Unless `is_parallel`, calls after the first are left out.

    `call_reason` is the finish reason of a choice with calls, which `is_legacy` has written in their older
    form. With `thought_markers`, the thought stays in the content between these; `is_open` where the prompt
    has the first of them.
    """

    make_parser: Callable[[], StreamParser]
    custom_names: frozenset[str] = frozenset()
    call_reason: ChatFinishReason = "tool_calls"
    is_parallel: bool = True
    is_legacy: bool = False
    thought_markers: tuple[str, str] | None = None
    is_open: bool = False

    def reason(self, reason: ChatFinishReason, *, has_whole_calls: bool) -> ChatFinishReason:
        """Say in OpenAI's words why a choice ended, which depends on whether it has complete calls."""
        return self.call_reason if has_whole_calls and reason == "stop" else reason


class ChoiceParser:
    """One choice's text into events: calls have ids, and those of custom tools the text of their input.

    `calls` are those so far; the first `num_ended` of them are complete.
    """

    def __init__(self, reading: OutputFormat) -> None:
        self._reading = reading
        self.calls: list[Call] = []
        self.num_ended = 0
        self._contents: list[str] = []
        self._thoughts: list[str] = []
        self._parser = reading.make_parser()
        self._inputs: dict[int, CustomInput] = {}
        self._thought_is_open = False
        self._arguments: list[str] = []

    @property
    def has_whole_calls(self) -> bool:
        """Whether there are calls, and the last of them has all of its arguments."""
        return is_object("".join(self._arguments))

    @property
    def said(self) -> ParsedAnswer:
        """All that has come so far."""
        content = "".join(self._contents)
        return ParsedAnswer(
            None if self.calls and not content else content,
            "".join(self._thoughts),
            self.calls,
            has_whole_calls=self.has_whole_calls,
        )

    def feed(self, text: str) -> list[Event]:
        """Read a piece of text; returns the events that are certain by now."""
        return self._noted(self._completed(self._parser.feed(text)))

    def finish(self) -> list[Event]:
        """Return the events that were held back, when there is no more text."""
        return self._noted([*self._completed(self._parser.finish()), *self._last_input()])

    def _noted(self, events: list[Event]) -> list[Event]:
        for event in events:
            if isinstance(event, CallArguments):
                self.calls[-1].pieces.append(event.text)
                continue
            self.num_ended = len(self.calls)
            if isinstance(event, CallStart):
                self.calls.append(Call(id=event.id or "", name=event.name))
            else:
                texts = self._contents if event.channel is Channel.CONTENT else self._thoughts
                texts.append(event.text)
        return events

    def _completed(self, events: Iterable[Event]) -> list[Event]:
        completed: list[Event] = []
        for event in events:
            if not isinstance(event, Delta) and event.index and not self._reading.is_parallel:
                continue
            if self._reading.thought_markers is not None:
                completed += self._markers(event, *self._reading.thought_markers)
            if isinstance(event, CallStart):
                completed += self._last_input()
                self._arguments.clear()
                if event.name in self._reading.custom_names:
                    self._inputs[event.index] = CustomInput()
                completed.append(event if event.id else replace(event, id=f"call_{uuid.uuid4().hex[:24]}"))
            elif isinstance(event, CallArguments):
                self._arguments.append(event.text)
                reader = self._inputs.get(event.index)
                text = event.text if reader is None else reader.feed(event.text)
                if text:
                    completed.append(CallArguments(event.index, text))
            elif self._reading.thought_markers is not None:
                completed.append(Delta(Channel.CONTENT, event.text))
            else:
                completed.append(event)
        return completed

    def _last_input(self) -> list[Event]:
        """Return what is left of the inputs of finished calls."""
        left = [(index, reader.finish()) for index, reader in self._inputs.items()]
        self._inputs.clear()
        return [CallArguments(index, text) for index, text in left if text]

    def _markers(self, event: Event, start: str, end: str) -> list[Event]:
        """Write the marker before an event, where the thought stays in the content."""
        is_thought = isinstance(event, Delta) and event.channel is Channel.REASONING
        if is_thought == self._thought_is_open:
            return []
        self._thought_is_open = is_thought
        if is_thought:
            return [] if self._reading.is_open else [Delta(Channel.CONTENT, start)]
        return [Delta(Channel.CONTENT, end)]


class AnswerReader:
    """An answer's text into events, parsed or all of it content, and which of its calls are complete.

    For protocols whose answer is one sequence of events: all but those of choices.
    """

    def __init__(self, reading: OutputFormat | None) -> None:
        self._parser = None if reading is None else ChoiceParser(reading)
        self._texts: list[str] = []
        self._num_told = 0
        self._has_ended = False

    @property
    def said(self) -> ParsedAnswer:
        """All that has come so far."""
        return ParsedAnswer("".join(self._texts)) if self._parser is None else self._parser.said

    def read(self, text: str) -> list[Event]:
        """Parse a piece of text; returns the events that are certain by now."""
        if self._parser is not None:
            return self._parser.feed(text)
        self._texts.append(text)
        return [Delta(Channel.CONTENT, text)] if text else []

    def read_rest(self) -> list[Event]:
        """Parse what was held back until the end of the text."""
        self._has_ended = True
        return [] if self._parser is None else self._parser.finish()

    def ended_calls(self) -> Sequence[Call]:
        """Return the calls that became complete since this was last asked.

        One that a limit has cut off never does.
        """
        if self._parser is None:
            return ()
        calls = self._parser.calls
        are_whole = self._has_ended and self._parser.has_whole_calls
        begin, self._num_told = self._num_told, len(calls) if are_whole else self._parser.num_ended
        return calls[begin : self._num_told]
