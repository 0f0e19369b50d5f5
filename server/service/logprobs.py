"""Log probabilities as the routes show them: token ids into texts and bytes."""

import math
from collections.abc import Sequence

from schemas import logprobs as wire
from server.engine.outputs import TokenLogprob
from server.loaded_model import TextVocab


class LogprobWriter:
    """Writes the entries of one answer, by the vocabulary of its model."""

    def __init__(self, vocab: TextVocab) -> None:
        self._vocab = vocab

    def chat(self, entries: Sequence[TokenLogprob]) -> wire.ChatLogprobs:
        """In the shape of chat completions, in which the token that ended the text is left out."""
        shown = [self._content(entry) for entry in entries if not entry.is_end]
        return wire.ChatLogprobs(content=shown, refusal=None)

    def text(self, entries: Sequence[TokenLogprob]) -> wire.TextLogprobs:
        """In the shape of text completions, which has it: clients count on one for each drawn token."""
        return wire.TextLogprobs(
            tokens=[token_label(self._vocab, entry.token_id) for entry in entries],
            token_logprobs=[None if math.isnan(entry.logprob) else entry.logprob for entry in entries],
            top_logprobs=[self._top(entry) for entry in entries],
            text_offset=[entry.offset for entry in entries],
        )

    def prompt(self, entries: Sequence[TokenLogprob]) -> wire.PromptLogprobs:
        """Of a prompt, in vLLM's shape, from those of its second token on."""
        return [None, *(self._ranked(entry) for entry in entries)]

    def _ranked(self, entry: TokenLogprob) -> dict[str, wire.PromptLogprob]:
        likeliest = enumerate(zip(entry.top_ids, entry.top_logprobs, strict=True), 1)
        ranked = {token_id: (logprob, rank) for rank, (token_id, logprob) in likeliest}
        ranked.setdefault(entry.token_id, (entry.logprob, entry.rank))
        return {
            str(token_id): wire.PromptLogprob(
                logprob=logprob, rank=rank, decoded_token=token_label(self._vocab, token_id)
            )
            for token_id, (logprob, rank) in ranked.items()
        }

    def _content(self, entry: TokenLogprob) -> wire.TokenLogprob:
        return wire.TokenLogprob(
            token=token_label(self._vocab, entry.token_id),
            logprob=entry.logprob,
            bytes=_bytes(self._vocab, entry.token_id),
            top_logprobs=[
                wire.TopLogprob(
                    token=token_label(self._vocab, token_id),
                    logprob=logprob,
                    bytes=_bytes(self._vocab, token_id),
                )
                for token_id, logprob in zip(entry.top_ids, entry.top_logprobs, strict=True)
            ],
        )

    def _top(self, entry: TokenLogprob) -> dict[str, float] | None:
        if math.isnan(entry.logprob):
            return None
        ids, logprobs = entry.top_ids, entry.top_logprobs
        if entry.token_id not in ids:
            ids, logprobs = (*ids, entry.token_id), (*logprobs, entry.logprob)
        top: dict[str, float] = {}
        for token_id, logprob in zip(ids, logprobs, strict=True):
            # Of several tokens that read alike, the likeliest comes first.
            top.setdefault(token_label(self._vocab, token_id), logprob)
        return top


def token_label(vocab: TextVocab, token_id: int) -> str:
    """A token as OpenAI writes it: its text, or its bytes where they are a part of a character."""
    data = vocab.token_bytes(token_id)
    if not data:
        return vocab.token_text(token_id)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _bytes(vocab: TextVocab, token_id: int) -> list[int] | None:
    return list(vocab.token_bytes(token_id)) or None
