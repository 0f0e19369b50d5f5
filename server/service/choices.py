"""The only builders of completions and their chunks, one class per route's wire shape."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.base import Schema
from schemas.chat import (
    AssistantReply,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
)
from schemas.common import FinishReason, Usage
from schemas.completions import Completion, CompletionChoice
from schemas.debug import Debug
from schemas.logprobs import TextLogprobs
from server.engine.outputs import TokenLogprob
from server.service.logprobs import LogprobWriter

Logprobs = Sequence[TokenLogprob]


@dataclass(kw_only=True)
class FinishedChoice:
    """A choice with all its text."""

    text: str
    finish_reason: FinishReason
    logprobs: Logprobs = ()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What all chunks of an answer have in common."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, prefix: str, model: str) -> "Identity":
        """A fresh identity; ids are random, so nobody learns of other requests from them."""
        return cls(id=f"{prefix}-{uuid.uuid4().hex}", created=int(time.time()), model=model)


class Shape(Protocol):
    """How an answer looks on the wire. Chunks carry `usage: null` where a usage chunk will follow.

    `writer` is there when the request asks for log probabilities.
    """

    def opening(self, index: int) -> Schema | None:
        """The chunk that opens a choice."""

    def delta(self, index: int, text: str, logprobs: Logprobs = ()) -> Schema:
        """A chunk of text."""

    def closing(
        self, index: int, finish_reason: FinishReason, debug: Debug | None = None, logprobs: Logprobs = ()
    ) -> Schema:
        """The chunk that ends a choice."""

    def usage_chunk(self, usage: Usage) -> Schema:
        """The chunk after the last choice has ended."""

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """The answer in one piece."""


@dataclass(frozen=True)
class ChatShape:
    """`chat.completion` and `chat.completion.chunk`."""

    identity: Identity
    with_usage: bool = field(default=False, kw_only=True)
    writer: LogprobWriter | None = field(default=None, kw_only=True)

    def opening(self, index: int) -> Schema:
        """The role, with empty content as OpenAI sends it."""
        return self._chunk(index, ChatDelta(role="assistant", content="", refusal=None))

    def delta(self, index: int, text: str, logprobs: Logprobs = ()) -> Schema:
        """A chunk of content."""
        return self._chunk(index, ChatDelta(content=text), None, logprobs)

    def closing(
        self, index: int, finish_reason: FinishReason, debug: Debug | None = None, logprobs: Logprobs = ()
    ) -> Schema:
        """An empty delta and the reason, with what is known of tokens that came to no text."""
        chunk = self._chunk(index, ChatDelta(), finish_reason, logprobs)
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
            system_fingerprint=None,
            choices=[
                ChatChoice(
                    index=index,
                    message=AssistantReply(role="assistant", content=choice.text, refusal=None),
                    logprobs=self.writer.chat(choice.logprobs) if self.writer else None,
                    finish_reason=choice.finish_reason,
                )
                for index, choice in enumerate(choices)
            ],
            usage=usage,
        )
        if debug is not None:
            completion.debug = debug
        return completion

    def _chunk(
        self,
        index: int,
        delta: ChatDelta,
        finish_reason: FinishReason | None = None,
        logprobs: Logprobs = (),
    ) -> ChatCompletionChunk:
        written = self.writer.chat(logprobs) if self.writer and logprobs else None
        choice = ChatChunkChoice(index=index, delta=delta, logprobs=written, finish_reason=finish_reason)
        return self._envelope([choice], None)

    def _envelope(self, choices: list[ChatChunkChoice], usage: Usage | None) -> ChatCompletionChunk:
        chunk = ChatCompletionChunk(
            id=self.identity.id,
            object="chat.completion.chunk",
            created=self.identity.created,
            model=self.identity.model,
            system_fingerprint=None,
            choices=choices,
        )
        if self.with_usage:
            chunk.usage = usage
        return chunk


@dataclass(frozen=True)
class TextShape:
    """`text_completion`, whole and as a chunk."""

    identity: Identity
    with_usage: bool = field(default=False, kw_only=True)
    writer: LogprobWriter | None = field(default=None, kw_only=True)

    def opening(self, index: int) -> None:  # noqa: ARG002 (the protocol's)
        """Text completions open with their first text."""
        return

    def delta(self, index: int, text: str, logprobs: Logprobs = ()) -> Schema:
        """A chunk of text."""
        return self._chunk(index, text, None, logprobs)

    def closing(
        self, index: int, finish_reason: FinishReason, debug: Debug | None = None, logprobs: Logprobs = ()
    ) -> Schema:
        """No text, and the reason, with what is known of tokens that came to no text."""
        chunk = self._chunk(index, "", finish_reason, logprobs)
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
                    choice.text,
                    choice.finish_reason,
                    self.writer.text(choice.logprobs) if self.writer else None,
                )
                for index, choice in enumerate(choices)
            ],
            usage,
            with_usage=True,
        )
        if debug is not None:
            completion.debug = debug
        return completion

    def _chunk(
        self, index: int, text: str, finish_reason: FinishReason | None, logprobs: Logprobs
    ) -> Completion:
        written = self.writer.text(logprobs) if self.writer and logprobs else None
        choices = [self._choice(index, text, finish_reason, written)]
        return self._envelope(choices, None, with_usage=self.with_usage)

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
            system_fingerprint=None,
            choices=choices,
        )
        if with_usage:
            completion.usage = usage
        return completion
