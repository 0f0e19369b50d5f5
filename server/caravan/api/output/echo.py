"""Prompts in front of the texts that answer them, as `echo` asks for, with the tokens of both."""

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from caravan.engine.outputs import TokenLogprob, TokenOutput
from caravan.models.loaded_model import TextVocab


@dataclass(frozen=True, kw_only=True)
class ReadPrompt:
    """A prompt as the engine gets it; `text` is how it came, if it came as text."""

    token_ids: tuple[int, ...]
    text: str | None = None


class Echo:
    """Puts the prompt before the text of each choice, and its tokens before those of the text.

    `num_logprobs` is how many of the likeliest tokens to tell of each; None tells nothing of tokens.
    """

    def __init__(
        self,
        vocab: TextVocab,
        prompts: Sequence[ReadPrompt],
        choices_per_prompt: int,
        num_logprobs: int | None,
    ) -> None:
        self._vocab = vocab
        self._prompts = prompts
        self._echoed: dict[int, _Echoed] = {}
        self._choices_per_prompt = choices_per_prompt
        self._num_logprobs = num_logprobs
        self._begun: set[int] = set()

    def applied(self, output: TokenOutput) -> TokenOutput:
        """Put the prompt before the first output of each choice, and move the offsets of all."""
        prompt = self._read(output.index // self._choices_per_prompt)
        shift = len(prompt.text)
        logprobs = tuple(
            msgspec.structs.replace(entry, offset=entry.offset + shift) for entry in output.logprobs
        )
        if output.index in self._begun:
            return msgspec.structs.replace(output, logprobs=logprobs)
        self._begun.add(output.index)
        if self._num_logprobs is not None:
            logprobs = (*prompt.entries(output.prompt_logprobs, self._num_logprobs), *logprobs)
        return msgspec.structs.replace(output, text=prompt.text + output.text, logprobs=logprobs)

    def _read(self, index: int) -> "_Echoed":
        # When it is its turn: all of them at once would hold up the event loop.
        if index not in self._echoed:
            self._echoed[index] = _Echoed(self._vocab, self._prompts[index])
        return self._echoed[index]


class _Echoed:
    """A prompt's text, and where in it each of its tokens begins, in characters.

    A control token stands in the text as it is written, except the BOS that was put before a text.
    """

    def __init__(self, vocab: TextVocab, prompt: ReadPrompt) -> None:
        self._token_ids = prompt.token_ids
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offsets: list[int] = []
        pieces: list[str] = []
        length = 0
        for place, token_id in enumerate(prompt.token_ids):
            data = vocab.token_bytes(token_id)
            if not data and not (place == 0 and self._is_added(vocab, prompt)):
                data = vocab.token_text(token_id).encode()
            self._offsets.append(length)
            pieces.append(decoder.decode(data))
            length += len(pieces[-1])
        joined = "".join(pieces)
        self.text = joined if prompt.text is None else prompt.text
        # Some tokenizers put a space before a text.
        if joined == f" {self.text}":
            self._offsets = [max(0, offset - 1) for offset in self._offsets]

    @staticmethod
    def _is_added(vocab: TextVocab, prompt: ReadPrompt) -> bool:
        """Whether the first token is a BOS that the text does not have."""
        first = prompt.token_ids[0]
        if prompt.text is None or first != vocab.bos_id:
            return False
        return not prompt.text.startswith(vocab.token_text(first))

    def entries(self, known: Sequence[TokenLogprob], num_top: int) -> list[TokenLogprob]:
        """Make an entry for each token; the engine knows all but the first, or none if it was cut short."""
        unknown = [TokenLogprob(token_id, math.nan) for token_id in self._token_ids]
        entries = [*unknown[: len(unknown) - len(known)], *known]
        return [
            msgspec.structs.replace(entry.with_top(num_top), offset=min(offset, len(self.text)))
            for entry, offset in zip(entries, self._offsets, strict=True)
        ]
