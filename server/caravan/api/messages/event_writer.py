"""The text of a model into the events of a message; the message itself is what they add up to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from caravan_schemas.anthropic_output import (
    BlockDeltaEvent,
    BlockStartEvent,
    BlockStopEvent,
    ContentBlock,
    InputJsonDelta,
    MessageAnswer,
    MessageDeltaEvent,
    MessageEnd,
    MessagesEvent,
    MessageStartEvent,
    MessageStopEvent,
    MessageUsage,
    PingEvent,
    SignatureDelta,
    StopReason,
    TextBlockDelta,
    TextContentBlock,
    ThinkingBlockDelta,
    ThinkingContentBlock,
    ToolUseContentBlock,
)
from caravan_schemas.common import Debug

from caravan.api.messages.signatures import signature
from caravan.api.output.parsed_choice import AnswerReader, OutputFormat
from caravan.chat.messages import past_arguments
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta, Event

_OUR_CALLS, _THEIR_CALLS = "call_", "toolu_"


@dataclass
class _OpenBlock:
    """The block that grows; `block` is as it began."""

    index: int
    block: ContentBlock
    pieces: list[str] = field(default_factory=list)
    is_shown: bool = True

    def grow(self, text: str) -> Iterator[MessagesEvent]:
        """Add a piece."""
        self.pieces.append(text)
        delta: TextBlockDelta | ThinkingBlockDelta | InputJsonDelta
        match self.block:
            case TextContentBlock():
                delta = TextBlockDelta(type="text_delta", text=text)
            case ThinkingContentBlock():
                if not self.is_shown:
                    return
                delta = ThinkingBlockDelta(type="thinking_delta", thinking=text)
            case ToolUseContentBlock():
                delta = InputJsonDelta(type="input_json_delta", partial_json=text)
        yield BlockDeltaEvent(type="content_block_delta", index=self.index, delta=delta)

    def end(self) -> Iterator[MessagesEvent]:
        """Tell that it is complete."""
        if isinstance(self.block, ThinkingContentBlock):
            signed = signature("".join(self.pieces), is_shown=self.is_shown)
            delta = SignatureDelta(type="signature_delta", signature=signed)
            yield BlockDeltaEvent(type="content_block_delta", index=self.index, delta=delta)
        yield BlockStopEvent(type="content_block_stop", index=self.index)

    def whole(self) -> ContentBlock:
        """Make the block as it is now."""
        text = "".join(self.pieces)
        match self.block:
            case TextContentBlock():
                return TextContentBlock(type="text", text=text)
            case ThinkingContentBlock():
                shown = text if self.is_shown else ""
                signed = signature(text, is_shown=self.is_shown)
                return ThinkingContentBlock(type="thinking", thinking=shown, signature=signed)
            case ToolUseContentBlock(id=call_id, name=name):
                # A limit may have cut it off.
                value = past_arguments(text)
                return ToolUseContentBlock(type="tool_use", id=call_id, name=name, input=value)


class MessageWriter:
    """Turns one answer's text into events. `message` is whole once it has ended.

    White space alone, as models put between calls, makes no block. Call `start` first, then `write` for what
    `reader` finds in each piece of text, then `end`. Unless it `shows_thoughts`, their blocks have no text.
    """

    def __init__(
        self, message_id: str, model: str, reading: OutputFormat | None, *, shows_thoughts: bool
    ) -> None:
        self._id = message_id
        self._model = model
        self.reader = AnswerReader(reading)
        self._shows_thoughts = shows_thoughts
        self._content: list[ContentBlock] = []
        self._open: _OpenBlock | None = None
        self._blank = ""
        self._message: MessageAnswer | None = None

    @property
    def message(self) -> MessageAnswer:
        """The message, as it was started or has ended."""
        assert self._message is not None
        return self._message

    def start(self, usage: MessageUsage) -> Iterator[MessagesEvent]:
        """Make the first events. `usage` has the counts of the prompt."""
        self._message = MessageAnswer(
            id=self._id,
            type="message",
            role="assistant",
            model=self._model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=usage,
        )
        yield MessageStartEvent(type="message_start", message=self._message)
        yield PingEvent(type="ping")

    def write(self, events: Iterable[Event]) -> Iterator[MessagesEvent]:
        """Make the events of what has been parsed."""
        for event in events:
            match event:
                case CallStart(name=name, id=call_id):
                    yield from self._begin(_call(call_id or "", name))
                case CallArguments(text=text):
                    yield from self._grow(ToolUseContentBlock, text)
                case Delta(channel=Channel.REASONING, text=text):
                    if not self._is_open(ThinkingContentBlock):
                        empty = ThinkingContentBlock(type="thinking", thinking="", signature="")
                        yield from self._begin(empty)
                    yield from self._grow(ThinkingContentBlock, text)
                case Delta(text=text):
                    yield from self._text(text)

    def end(
        self, reason: StopReason, stop: str | None, usage: MessageUsage, debug: Debug | None
    ) -> Iterator[MessagesEvent]:
        """Make the last events. An answer without any block, but with tokens, gets an empty text."""
        if self._open is None and not self._content and usage.output_tokens:
            blank = self._blank
            yield from self._begin(TextContentBlock(type="text", text=""))
            yield from self._grow(TextContentBlock, blank)
        yield from self._close()
        told: dict[str, object] = {
            "stop_reason": reason,
            "stop_sequence": stop,
            "usage": usage,
            "content": self._content,
        }
        event = MessageDeltaEvent(
            type="message_delta", delta=MessageEnd(stop_reason=reason, stop_sequence=stop), usage=usage
        )
        if debug is not None:
            told["debug"] = event.debug = debug
        self._message = self.message.model_copy(update=told)
        yield event
        yield MessageStopEvent(type="message_stop")

    def _text(self, text: str) -> Iterator[MessagesEvent]:
        if not self._is_open(TextContentBlock):
            text = self._blank + text
            if not text.strip():
                self._blank = text
                return
            yield from self._begin(TextContentBlock(type="text", text=""))
        yield from self._grow(TextContentBlock, text)

    def _is_open(self, kind: type[ContentBlock]) -> bool:
        return self._open is not None and isinstance(self._open.block, kind)

    def _begin(self, block: ContentBlock) -> Iterator[MessagesEvent]:
        """Close the block that is open, and open another. White space before it belongs to none."""
        yield from self._close()
        self._blank = ""
        self._open = _OpenBlock(len(self._content), block, is_shown=self._shows_thoughts)
        yield BlockStartEvent(type="content_block_start", index=self._open.index, content_block=block)

    def _grow(self, kind: type[ContentBlock], text: str) -> Iterator[MessagesEvent]:
        assert self._open is not None
        assert isinstance(self._open.block, kind)
        if text:
            yield from self._open.grow(text)

    def _close(self) -> Iterator[MessagesEvent]:
        if self._open is not None:
            yield from self._open.end()
            self._content.append(self._open.whole())
        self._open = None


def _call(call_id: str, name: str) -> ToolUseContentBlock:
    if call_id.startswith(_OUR_CALLS):
        call_id = _THEIR_CALLS + call_id.removeprefix(_OUR_CALLS)
    return ToolUseContentBlock(type="tool_use", id=call_id, name=name, input={})
