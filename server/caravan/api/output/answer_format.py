"""What the ways to write an answer have in common: its envelope, what it tells of tokens, plain streams."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.common import Debug, FinishReason, PromptProgress
from caravan_schemas.completions import CompletionRequest

from caravan.api.output.encoding import head_and_tail, json_string, to_json
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.structured.checker import ParsedAnswer
from caravan.engine.outputs import TokenLogprob, TokenOutput
from caravan.errors import InvalidValueError
from caravan.models.loaded_model import TextVocab


@dataclass(frozen=True)
class TokenDetails:
    """Log probabilities and ids of some tokens, each where the request asked for it. False where empty."""

    logprobs: Sequence[TokenLogprob] = ()
    token_ids: Sequence[int] = ()

    @classmethod
    def of(cls, output: TokenOutput) -> "TokenDetails":
        """Take what one output of the engine tells of its tokens."""
        has_some = output.logprobs or output.token_ids
        return cls(output.logprobs, output.token_ids) if has_some else NOTHING

    def __bool__(self) -> bool:
        return bool(self.logprobs or self.token_ids)

    def __add__(self, later: "TokenDetails") -> "TokenDetails":
        if not later:
            return self
        return TokenDetails((*self.logprobs, *later.logprobs), (*self.token_ids, *later.token_ids))


NOTHING = TokenDetails()


@dataclass(kw_only=True)
class FinishedChoice:
    """A choice that has ended, with what is told of its tokens and of its prompt's."""

    parsed: ParsedAnswer
    finish_reason: FinishReason
    details: TokenDetails = NOTHING
    prompt_logprobs: Sequence[TokenLogprob] = ()
    prompt_token_ids: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What an answer and all of its chunks have in common, and what the request wants told beside texts.

    `with_usage`, chunks carry `usage: null`, or with `with_running_usage` the usage so far, and a usage chunk
    follows. `writer` is there when the request
    asks for log probabilities, `prompt_writer` when for the prompt's. `is_padded` hides the sizes of events.
    """

    id: str
    created: int
    model: str
    fingerprint: str
    with_usage: bool = False
    with_running_usage: bool = False
    with_token_ids: bool = False
    is_padded: bool = False
    writer: LogprobWriter | None = None
    prompt_writer: LogprobWriter | None = None

    @classmethod
    def of(
        cls,
        request: ChatCompletionRequest | CompletionRequest,
        request_id: str,
        fingerprint: str,
        vocab: TextVocab,
        num_logprobs: int | None,
    ) -> "Envelope":
        """Make the envelope of a request's answer; raises InvalidRequestError over `stream_options`."""
        options = request.stream_options
        if options and not request.stream and (options.include_usage or options.include_obfuscation):
            raise InvalidValueError("stream_options", "is only allowed when 'stream' is true")
        if options and options.continuous_usage_stats and not options.include_usage:
            name = "stream_options.continuous_usage_stats"
            raise InvalidValueError(name, "is only allowed when 'stream_options.include_usage' is true")
        return cls(
            id=request_id,
            created=int(time.time()),
            model=request.model,
            fingerprint=fingerprint,
            with_usage=bool(options and options.include_usage),
            with_running_usage=bool(options and options.continuous_usage_stats),
            with_token_ids=bool(request.return_token_ids),
            is_padded=bool(options and options.include_obfuscation),
            writer=None if num_logprobs is None else LogprobWriter(vocab),
            prompt_writer=None if request.prompt_logprobs is None else LogprobWriter(vocab),
        )


def told_progress(output: TokenOutput, prompt: Sequence[int]) -> PromptProgress:
    """Write the progress that an output tells of its prompt."""
    assert output.progress is not None
    return PromptProgress(
        total=len(prompt),
        cache=output.num_cached_tokens,
        processed=output.progress.num_computed_tokens,
        time_ms=round(output.progress.seconds * 1000),
    )


class PlainStream:
    """A choice whose text is its content. What never changes in its chunks is encoded once."""

    def __init__(
        self,
        delta: Callable[[str, TokenDetails], Schema],
        closing: Callable[[FinishReason, Debug | None, TokenDetails], Schema],
    ) -> None:
        self._delta = delta
        self._closing = closing
        self._head: bytes | None = None
        self._tail = b""
        self._texts: list[str] = []

    def feed(self, text: str, details: TokenDetails) -> Sequence[bytes]:
        """Make one chunk."""
        self._texts.append(text)
        if details:
            return (to_json(self._delta(text, details)),)
        if self._head is None:
            self._head, self._tail = head_and_tail(lambda mark: self._delta(mark, NOTHING))
        return (self._head + json_string(text) + self._tail,)

    def close(self, reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Sequence[bytes]:
        """Make the chunk with the finish reason."""
        return (to_json(self._closing(reason, debug, details)),)

    @property
    def said(self) -> ParsedAnswer:
        """All text."""
        return ParsedAnswer("".join(self._texts))
