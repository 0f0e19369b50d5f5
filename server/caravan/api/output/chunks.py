"""The only builders of completions and their chunks, one class per route's wire shape."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from caravan_schemas.base import Schema
from caravan_schemas.chat import (
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatFinishReason,
)
from caravan_schemas.common import FinishReason, Usage
from caravan_schemas.completions import Completion, CompletionChoice
from caravan_schemas.debug import Debug
from caravan_schemas.logprobs import TextLogprobs

from caravan.api.output.choice_streams import ChoiceStream, ParsedStream, PlainStream
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.messages import delta_of, message_of
from caravan.api.output.output_format import OutputFormat
from caravan.api.output.parsed_choice import ParsedChoice, read
from caravan.api.output.token_details import NOTHING, TokenDetails
from caravan.chat.parsing.events import Event
from caravan.engine.outputs import TokenLogprob


@dataclass(kw_only=True)
class FinishedChoice:
    """A choice with all that it says."""

    parsed: ParsedChoice
    finish_reason: FinishReason
    details: TokenDetails = NOTHING
    prompt_logprobs: Sequence[TokenLogprob] = ()
    prompt_token_ids: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What all chunks of an answer have in common."""

    id: str
    created: int
    model: str
    fingerprint: str

    @classmethod
    def new(cls, prefix: str, model: str, fingerprint: str) -> "Identity":
        """A fresh identity; ids are random, so nobody learns of other requests from them."""
        unique = f"{prefix}-{uuid.uuid4().hex}"
        return cls(id=unique, created=int(time.time()), model=model, fingerprint=fingerprint)


class AnswerFormat(Protocol):
    """How an answer looks on the wire. Chunks carry `usage: null` where a usage chunk will follow.

    `writer` is there when the request asks for log probabilities, `prompt_writer` when for the prompt's,
    and it asks for token ids where they are to be told `with_token_ids`.
    """

    @property
    def with_usage(self) -> bool: ...
    @property
    def writer(self) -> LogprobWriter | None: ...
    @property
    def prompt_writer(self) -> LogprobWriter | None: ...

    def opening(self, index: int, prompt: Sequence[int]) -> Schema | None:
        """The chunk that opens a choice of this prompt."""

    def stream(self, index: int) -> ChoiceStream:
        """What makes the chunks between, and the one that ends the choice."""

    def parse(self, text: str) -> ParsedChoice:
        """What the complete text of a choice says."""

    def usage_chunk(self, usage: Usage) -> Schema:
        """The chunk after the last choice has ended."""

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """The answer in one piece."""


@dataclass(frozen=True)
class ChatFormat:
    """`chat.completion` and `chat.completion.chunk`. Without an `output_format`, all text is content."""

    identity: Identity
    with_usage: bool = field(default=False, kw_only=True)
    writer: LogprobWriter | None = field(default=None, kw_only=True)
    prompt_writer: LogprobWriter | None = field(default=None, kw_only=True)
    with_token_ids: bool = field(default=False, kw_only=True)
    output_format: OutputFormat | None = field(default=None, kw_only=True)

    def opening(self, index: int, prompt: Sequence[int]) -> Schema:
        """The role, with empty content as OpenAI sends it; with none where a call may come instead."""
        content = "" if self.output_format is None else None
        chunk = self._chunk(index, ChatDelta(role="assistant", content=content, refusal=None))
        if self.with_token_ids:
            chunk.prompt_token_ids = list(prompt)
        return chunk

    def stream(self, index: int) -> ChoiceStream:
        """Content, or content, thought and calls; then an empty delta and the reason."""
        closing = partial(self._closing, index)
        if self.output_format is None:
            return PlainStream(partial(self._delta, index), closing)
        return ParsedStream(self.output_format, partial(self._event, self.output_format, index), closing)

    def parse(self, text: str) -> ParsedChoice:
        """Content, thought and calls."""
        return ParsedChoice(content=text) if self.output_format is None else read(self.output_format, text)

    def _delta(self, index: int, text: str, details: TokenDetails) -> Schema:
        return self._chunk(index, ChatDelta(content=text), None, details)

    def _event(
        self, output_format: OutputFormat, index: int, event: Event, is_custom: bool, details: TokenDetails
    ) -> Schema:
        return self._chunk(index, delta_of(event, output_format, is_custom=is_custom), None, details)

    def _closing(
        self, index: int, finish_reason: ChatFinishReason, debug: Debug | None, details: TokenDetails
    ) -> Schema:
        chunk = self._chunk(index, ChatDelta(), finish_reason, details)
        if debug is not None:
            chunk.debug = debug
        return chunk

    def usage_chunk(self, usage: Usage) -> Schema:
        """No choices, and the usage."""
        return self._envelope([], usage)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """The completion."""
        completion = ChatCompletion(
            id=self.identity.id,
            object="chat.completion",
            created=self.identity.created,
            model=self.identity.model,
            service_tier="default",
            system_fingerprint=self.identity.fingerprint,
            choices=[
                ChatChoice(
                    index=index,
                    message=message_of(choice.parsed, self.output_format),
                    logprobs=self.writer.chat(choice.details.logprobs) if self.writer else None,
                    finish_reason=self._reason(choice),
                )
                for index, choice in enumerate(choices)
            ],
            usage=usage,
        )
        if self.prompt_writer is not None:
            completion.prompt_logprobs = self.prompt_writer.prompt(choices[0].prompt_logprobs)
        if self.with_token_ids:
            completion.prompt_token_ids = list(choices[0].prompt_token_ids)
            for answered, choice in zip(completion.choices, choices, strict=True):
                answered.token_ids = list(choice.details.token_ids)
        if debug is not None:
            completion.debug = debug
        return completion

    def _reason(self, choice: FinishedChoice) -> ChatFinishReason:
        if self.output_format is None:
            return choice.finish_reason
        return self.output_format.reason(choice.finish_reason, has_whole_calls=choice.parsed.has_whole_calls)

    def _chunk(
        self,
        index: int,
        delta: ChatDelta,
        finish_reason: ChatFinishReason | None = None,
        details: TokenDetails = NOTHING,
    ) -> ChatCompletionChunk:
        written = self.writer.chat(details.logprobs) if self.writer and details.logprobs else None
        choice = ChatChunkChoice(index=index, delta=delta, logprobs=written, finish_reason=finish_reason)
        if details.token_ids:
            choice.token_ids = list(details.token_ids)
        return self._envelope([choice], None)

    def _envelope(self, choices: list[ChatChunkChoice], usage: Usage | None) -> ChatCompletionChunk:
        chunk = ChatCompletionChunk(
            id=self.identity.id,
            object="chat.completion.chunk",
            created=self.identity.created,
            model=self.identity.model,
            service_tier="default",
            system_fingerprint=self.identity.fingerprint,
            choices=choices,
        )
        if self.with_usage:
            chunk.usage = usage
        return chunk


@dataclass(frozen=True)
class CompletionFormat:
    """`text_completion`, whole and as a chunk."""

    identity: Identity
    with_usage: bool = field(default=False, kw_only=True)
    writer: LogprobWriter | None = field(default=None, kw_only=True)
    prompt_writer: LogprobWriter | None = field(default=None, kw_only=True)
    with_token_ids: bool = field(default=False, kw_only=True)

    def opening(self, index: int, prompt: Sequence[int]) -> Schema | None:
        """Text completions open with their first text, unless there is the prompt to tell."""
        if not self.with_token_ids:
            return None
        chunk = self._chunk(index, "", None)
        chunk.choices[0].prompt_token_ids = list(prompt)
        return chunk

    def stream(self, index: int) -> ChoiceStream:
        """Text; then no text, and the reason."""
        return PlainStream(partial(self._delta, index), partial(self._closing, index))

    def parse(self, text: str) -> ParsedChoice:
        """Text alone."""
        return ParsedChoice(content=text)

    def _delta(self, index: int, text: str, details: TokenDetails) -> Schema:
        return self._chunk(index, text, None, details)

    def _closing(
        self, index: int, finish_reason: FinishReason, debug: Debug | None, details: TokenDetails
    ) -> Schema:
        chunk = self._chunk(index, "", finish_reason, details)
        if debug is not None:
            chunk.debug = debug
        return chunk

    def usage_chunk(self, usage: Usage) -> Schema:
        """No choices, and the usage."""
        return self._envelope([], usage, with_usage=True)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """The completion."""
        completion = self._envelope(
            [
                self._choice(
                    index,
                    choice.parsed.content or "",
                    choice.finish_reason,
                    self.writer.text(choice.details.logprobs) if self.writer else None,
                )
                for index, choice in enumerate(choices)
            ],
            usage,
            with_usage=True,
        )
        if self.prompt_writer is not None:
            for answered, choice in zip(completion.choices, choices, strict=True):
                answered.prompt_logprobs = self.prompt_writer.prompt(choice.prompt_logprobs)
        if self.with_token_ids:
            for answered, choice in zip(completion.choices, choices, strict=True):
                answered.prompt_token_ids = list(choice.prompt_token_ids)
                answered.token_ids = list(choice.details.token_ids)
        if debug is not None:
            completion.debug = debug
        return completion

    def _chunk(
        self, index: int, text: str, finish_reason: FinishReason | None, details: TokenDetails = NOTHING
    ) -> Completion:
        written = self.writer.text(details.logprobs) if self.writer and details.logprobs else None
        choice = self._choice(index, text, finish_reason, written)
        if details.token_ids:
            choice.token_ids = list(details.token_ids)
        return self._envelope([choice], None, with_usage=self.with_usage)

    def _choice(
        self, index: int, text: str, finish_reason: FinishReason | None, logprobs: TextLogprobs | None
    ) -> CompletionChoice:
        return CompletionChoice(index=index, text=text, logprobs=logprobs, finish_reason=finish_reason)

    def _envelope(
        self, choices: list[CompletionChoice], usage: Usage | None, *, with_usage: bool
    ) -> Completion:
        completion = Completion(
            id=self.identity.id,
            object="text_completion",
            created=self.identity.created,
            model=self.identity.model,
            system_fingerprint=self.identity.fingerprint,
            choices=choices,
        )
        if with_usage:
            completion.usage = usage
        return completion
