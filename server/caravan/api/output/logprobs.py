"""Log probabilities as the routes show them: token ids into texts and bytes."""

import math
from collections.abc import Sequence

import msgspec
from caravan_schemas import logprobs as wire

from caravan.engine.outputs import TokenLogprob
from caravan.models.loaded_model import TextVocab


class RankedToken(msgspec.Struct):
    """`caravan_schemas.logprobs.PromptLogprob`, made and written in a tenth of the time."""

    logprob: float
    rank: int
    decoded_token: str


class LogprobWriter:
    """Writes the entries of one answer, by the vocabulary of its model."""

    def __init__(self, vocab: TextVocab) -> None:
        self._vocab = vocab
        self._labels: dict[int, str] = {}

    def chat(self, entries: Sequence[TokenLogprob]) -> wire.ChatLogprobs:
        """Write entries as chat completions have them, without the token that ended the text."""
        shown = [self._content(entry) for entry in entries if not entry.is_end]
        return wire.ChatLogprobs(content=shown, refusal=None)

    def text(self, entries: Sequence[TokenLogprob]) -> wire.TextLogprobs:
        """Write entries as text completions have them, one for each drawn token."""
        return wire.TextLogprobs(
            tokens=[self._label(entry.token_id) for entry in entries],
            token_logprobs=[None if math.isnan(entry.logprob) else entry.logprob for entry in entries],
            top_logprobs=[self._top(entry) for entry in entries],
            text_offset=[entry.offset for entry in entries],
        )

    def prompt(self, entries: Sequence[TokenLogprob]) -> wire.PromptLogprobs:
        """Write the entries of a prompt as vLLM does, from those of its second token on."""
        written: wire.PromptLogprobs = [None]
        for entry in entries:
            ranked = self.ranked(entry)
            written.append(
                None
                if ranked is None
                else {
                    token_id: wire.PromptLogprob(
                        logprob=one.logprob, rank=one.rank, decoded_token=one.decoded_token
                    )
                    for token_id, one in ranked.items()
                }
            )
        return written

    def ranked(self, entry: TokenLogprob) -> dict[str, RankedToken] | None:
        """Write a token of a prompt and the likeliest in its place, by their ids; None within an image."""
        if math.isnan(entry.logprob):
            return None
        likeliest = enumerate(zip(entry.top_ids, entry.top_logprobs, strict=True), 1)
        ranked = {
            str(token_id): RankedToken(logprob, rank, self._label(token_id))
            for rank, (token_id, logprob) in likeliest
        }
        if (key := str(entry.token_id)) not in ranked:
            ranked[key] = RankedToken(entry.logprob, entry.rank, self._label(entry.token_id))
        return ranked

    def _label(self, token_id: int) -> str:
        label = self._labels.get(token_id)
        if label is None:
            label = self._labels[token_id] = token_label(self._vocab, token_id)
        return label

    def _content(self, entry: TokenLogprob) -> wire.TokenLogprob:
        return wire.TokenLogprob(
            token=self._label(entry.token_id),
            logprob=entry.logprob,
            bytes=_bytes(self._vocab, entry.token_id),
            top_logprobs=[
                wire.TopLogprob(
                    token=self._label(token_id),
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
            top.setdefault(self._label(token_id), logprob)
        return top


def token_label(vocab: TextVocab, token_id: int) -> str:
    """Write a token as OpenAI does: its text, or its bytes where they are a part of a character."""
    data = vocab.token_bytes(token_id)
    if not data:
        return vocab.token_text(token_id)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _bytes(vocab: TextVocab, token_id: int) -> list[int] | None:
    return list(vocab.token_bytes(token_id)) or None
