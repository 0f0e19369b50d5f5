"""Text completions, whole and as chunks, which have the same shape."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan_schemas.base import Schema
from caravan_schemas.common import Debug, FinishReason, PromptProgress, Usage
from caravan_schemas.completions import Completion, CompletionChoice

from caravan.api.output.answer_format import (
    NOTHING,
    Envelope,
    FinishedChoice,
    PlainStream,
    TokenDetails,
)
from caravan.api.structured.checker import ParsedAnswer


@dataclass(frozen=True)
class CompletionFormat:
    """Writes `text_completion`, whole and as a chunk."""

    envelope: Envelope

    def opening(self, index: int, prompt: Sequence[int]) -> Schema | None:
        """Make an opening only where the prompt's token ids are to be told."""
        if not self.envelope.with_token_ids:
            return None
        chunk = self._chunk(index, "", None)
        chunk.choices[0].prompt_token_ids = list(prompt)
        return chunk

    def stream(self, index: int) -> PlainStream:
        """Make a stream of texts, and a last chunk with the finish reason."""

        def closing(reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Schema:
            chunk = self._chunk(index, "", reason, details)
            if debug is not None:
                chunk.debug = debug
            return chunk

        return PlainStream(lambda text, details: self._chunk(index, text, None, details), closing)

    def parse(self, text: str) -> ParsedAnswer:
        """Take all text as content."""
        return ParsedAnswer(text)

    def progress_chunk(self, index: int, progress: PromptProgress) -> Schema:
        """Make a chunk with an empty text, and the progress."""
        chunk = self._chunk(index, "", None)
        chunk.prompt_progress = progress
        return chunk

    def usage_chunk(self, usage: Usage) -> Schema:
        """Make a chunk with the usage and no choices."""
        return self._enveloped([], usage, with_usage=True)

    def whole(self, choices: Sequence[FinishedChoice], usage: Usage, debug: Debug | None = None) -> Schema:
        """Make the completion."""
        written = [self._choice(index, choice) for index, choice in enumerate(choices)]
        completion = self._enveloped(written, usage, with_usage=True)
        if debug is not None:
            completion.debug = debug
        return completion

    def _choice(self, index: int, choice: FinishedChoice) -> CompletionChoice:
        envelope = self.envelope
        written = CompletionChoice(
            index=index,
            text=choice.parsed.content or "",
            logprobs=None if envelope.writer is None else envelope.writer.text(choice.details.logprobs),
            finish_reason=choice.finish_reason,
        )
        if envelope.prompt_writer is not None:
            written.prompt_logprobs = envelope.prompt_writer.prompt(choice.prompt_logprobs)
        if envelope.with_token_ids:
            written.prompt_token_ids = list(choice.prompt_token_ids)
            written.token_ids = list(choice.details.token_ids)
        return written

    def _chunk(
        self, index: int, text: str, finish_reason: FinishReason | None, details: TokenDetails = NOTHING
    ) -> Completion:
        writer = self.envelope.writer if details.logprobs else None
        written = None if writer is None else writer.text(details.logprobs)
        choice = CompletionChoice(index=index, text=text, logprobs=written, finish_reason=finish_reason)
        if details.token_ids:
            choice.token_ids = list(details.token_ids)
        return self._enveloped([choice], None, with_usage=self.envelope.with_usage)

    def _enveloped(
        self, choices: list[CompletionChoice], usage: Usage | None, *, with_usage: bool
    ) -> Completion:
        completion = Completion(
            id=self.envelope.id,
            object="text_completion",
            created=self.envelope.created,
            model=self.envelope.model,
            system_fingerprint=self.envelope.fingerprint,
            choices=choices,
        )
        if with_usage:
            completion.usage = usage
        return completion
