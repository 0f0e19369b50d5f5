"""Chat completions and their chunks: content, thought and calls in the wire's words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from caravan_schemas.base import Schema
from caravan_schemas.chat import (
    AssistantReply,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatFinishReason,
)
from caravan_schemas.common import Debug, FinishReason, PromptProgress, Usage
from caravan_schemas.tools import (
    CustomCall,
    CustomCallDelta,
    CustomToolCall,
    FunctionCall,
    FunctionCallDelta,
    FunctionToolCall,
    ToolCall,
    ToolCallDelta,
)

from caravan.api.output.answer_format import (
    NOTHING,
    Envelope,
    FinishedChoice,
    PlainStream,
    TokenDetails,
)
from caravan.api.output.encoding import head_and_tail, json_string, to_json
from caravan.api.output.parsed_choice import ChoiceParser, OutputFormat
from caravan.api.structured.checker import Call, ParsedAnswer
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta, Event


@dataclass(frozen=True)
class ChatFormat:
    """Writes chat completions and their chunks. Without an `output_format`, all text is content."""

    envelope: Envelope
    output_format: OutputFormat | None = None

    def opening(self, index: int, prompt: Sequence[int]) -> Schema:
        """Make the chunk with the role, and with empty content unless a call may come instead."""
        content = "" if self.output_format is None else None
        chunk = self._chunk(index, ChatDelta(role="assistant", content=content, refusal=None))
        if self.envelope.with_token_ids:
            chunk.prompt_token_ids = list(prompt)
        return chunk

    def stream(self, index: int) -> "PlainStream | ParsedStream":
        """Make a stream of content, or of content, thoughts and calls."""

        def closing(reason: ChatFinishReason, debug: Debug | None, details: TokenDetails) -> Schema:
            chunk = self._chunk(index, ChatDelta(), reason, details)
            if debug is not None:
                chunk.debug = debug
            return chunk

        if self.output_format is None:
            return PlainStream(
                lambda text, details: self._chunk(index, ChatDelta(content=text), details=details), closing
            )
        return ParsedStream(
            self.output_format,
            lambda delta, details: self._chunk(index, delta, details=details),
            closing,
        )

    def parse(self, text: str) -> ParsedAnswer:
        """Read content, thoughts and calls."""
        if self.output_format is None:
            return ParsedAnswer(text)
        parser = ChoiceParser(self.output_format)
        parser.feed(text)
        parser.finish()
        return parser.said

    def progress_chunk(self, index: int, progress: PromptProgress) -> Schema:
        """Make a chunk with the role alone, and the progress."""
        chunk = self._chunk(index, ChatDelta(role="assistant", content=None))
        chunk.prompt_progress = progress
        return chunk

    def usage_chunk(self, usage: Usage) -> Schema:
        """Make a chunk with the usage and no choices."""
        return self._enveloped([], usage)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """Make the completion."""
        envelope = self.envelope
        completion = ChatCompletion(
            id=envelope.id,
            object="chat.completion",
            created=envelope.created,
            model=envelope.model,
            service_tier="default",
            system_fingerprint=envelope.fingerprint,
            choices=[self._choice(index, choice) for index, choice in enumerate(choices)],
            usage=usage,
        )
        if envelope.prompt_writer is not None:
            completion.prompt_logprobs = envelope.prompt_writer.prompt(choices[0].prompt_logprobs)
        if envelope.with_token_ids:
            completion.prompt_token_ids = list(choices[0].prompt_token_ids)
        if debug is not None:
            completion.debug = debug
        return completion

    def _choice(self, index: int, choice: FinishedChoice) -> ChatChoice:
        reason: ChatFinishReason = choice.finish_reason
        if self.output_format is not None:
            reason = self.output_format.reason(reason, has_whole_calls=choice.parsed.has_whole_calls)
        writer = self.envelope.writer
        written = ChatChoice(
            index=index,
            message=_message(choice.parsed, self.output_format),
            logprobs=None if writer is None else writer.chat(choice.details.logprobs),
            finish_reason=reason,
        )
        if self.envelope.with_token_ids:
            written.token_ids = list(choice.details.token_ids)
        return written

    def _chunk(
        self,
        index: int,
        delta: ChatDelta,
        finish_reason: ChatFinishReason | None = None,
        details: TokenDetails = NOTHING,
    ) -> ChatCompletionChunk:
        writer = self.envelope.writer if details.logprobs else None
        choice = ChatChunkChoice(
            index=index,
            delta=delta,
            logprobs=None if writer is None else writer.chat(details.logprobs),
            finish_reason=finish_reason,
        )
        if details.token_ids:
            choice.token_ids = list(details.token_ids)
        return self._enveloped([choice], None)

    def _enveloped(self, choices: list[ChatChunkChoice], usage: Usage | None) -> ChatCompletionChunk:
        chunk = ChatCompletionChunk(
            id=self.envelope.id,
            object="chat.completion.chunk",
            created=self.envelope.created,
            model=self.envelope.model,
            service_tier="default",
            system_fingerprint=self.envelope.fingerprint,
            choices=choices,
        )
        if self.envelope.with_usage:
            chunk.usage = usage
        return chunk


class ParsedStream:
    """A choice whose text may hold a thought and calls.

    Details of tokens go into the first chunk that comes of them or after them. What never changes in the
    chunks of one kind is encoded once.
    """

    def __init__(
        self,
        output_format: OutputFormat,
        chunk: Callable[[ChatDelta, TokenDetails], Schema],
        closing: Callable[[ChatFinishReason, Debug | None, TokenDetails], Schema],
    ) -> None:
        self._output_format = output_format
        self._chunk = chunk
        self._closing = closing
        self._parser = ChoiceParser(output_format)
        self._heads: dict[Channel | int, tuple[bytes, bytes]] = {}
        self._has_content = False
        self._custom: set[int] = set()
        self._details = NOTHING

    def feed(self, text: str, details: TokenDetails) -> Sequence[bytes]:
        """Make a chunk for each event that is certain by now."""
        self._details += details
        return [self._written(event) for event in self._parser.feed(text)]

    def close(self, reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Sequence[bytes]:
        """Make the last chunks. Where there is no call, content is a text, if an empty one."""
        chunks = [self._written(event) for event in self._parser.finish()]
        if not self._has_content and not self._parser.calls:
            chunks.append(self._written(Delta(Channel.CONTENT, "")))
        reason_said = self._output_format.reason(reason, has_whole_calls=self._parser.has_whole_calls)
        chunks.append(to_json(self._closing(reason_said, debug, self._details + details)))
        return chunks

    @property
    def said(self) -> ParsedAnswer:
        """Content, thoughts and calls so far."""
        return self._parser.said

    def _written(self, event: Event) -> bytes:
        details, self._details = self._details, NOTHING
        if isinstance(event, CallStart):
            if event.name in self._output_format.custom_names:
                self._custom.add(event.index)
            return to_json(self._chunk(self._delta(event), details))
        if isinstance(event, Delta) and event.channel is Channel.CONTENT:
            self._has_content = True
        if details:
            return to_json(self._chunk(self._delta(event), details))
        key = event.index if isinstance(event, CallArguments) else event.channel
        if key not in self._heads:
            self._heads[key] = head_and_tail(
                lambda mark: self._chunk(self._delta(replace(event, text=mark)), NOTHING)
            )
        head, tail = self._heads[key]
        return head + json_string(event.text) + tail

    def _delta(self, event: Event) -> ChatDelta:
        """Write an event; only the first delta of a call has its name, id and type, and no arguments."""
        if isinstance(event, Delta):
            if event.channel is Channel.REASONING:
                return ChatDelta(reasoning_content=event.text)
            return ChatDelta(content=event.text)
        name, text = ({"name": event.name}, "") if isinstance(event, CallStart) else ({}, event.text)
        if self._output_format.is_legacy:
            return ChatDelta(function_call=FunctionCallDelta(**name, arguments=text))
        is_custom = event.index in self._custom
        call = ToolCallDelta(index=event.index)
        if is_custom:
            call.custom = CustomCallDelta(**name, input=text)
        else:
            call.function = FunctionCallDelta(**name, arguments=text)
        if isinstance(event, CallStart):
            call.id, call.type = event.id, "custom" if is_custom else "function"
        return ChatDelta(tool_calls=[call])


def _message(parsed: ParsedAnswer, output_format: OutputFormat | None) -> AssistantReply:
    """Make a message; fields beyond OpenAI's first three are there where they have something to say."""
    message = AssistantReply(role="assistant", content=parsed.content, refusal=None, annotations=[])
    if parsed.reasoning:
        message.reasoning_content = parsed.reasoning
    if parsed.calls and output_format is not None:
        if output_format.is_legacy:
            call = parsed.calls[0]
            message.function_call = FunctionCall(name=call.name, arguments=call.text)
        else:
            message.tool_calls = [_call(call, output_format) for call in parsed.calls]
    return message


def _call(call: Call, output_format: OutputFormat) -> ToolCall:
    if call.name in output_format.custom_names:
        custom = CustomCall(name=call.name, input=call.text)
        return CustomToolCall(id=call.id, type="custom", custom=custom)
    function = FunctionCall(name=call.name, arguments=call.text)
    return FunctionToolCall(id=call.id, type="function", function=function)
