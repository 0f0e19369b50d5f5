"""What a request yields by itself: a plain loop over llama.cpp, token after token, without the engine."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.params import GenerationRequest
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from numpy.typing import NDArray

# Logits of one token differ by less than a tenth of this between batches of different shapes.
_ROUNDING = 1e-3


class Answer(NamedTuple):
    """The tokens and the text of a choice. `decided`: rounding could not have changed any of its tokens."""

    token_ids: list[int]
    text: str
    decided: bool


class Reference:
    """Answers requests alone and cold."""

    def __init__(self, path: Path, context_size: int) -> None:
        self._model = Model(path)
        self._context_size = context_size
        self._context = Context(
            self._model, num_cells=context_size, batch_size=context_size, max_sequences=1, num_threads=1
        )
        vocab = self._model.vocab
        self._tokens = TokenSpace(vocab.size, vocab.end_of_generation_ids)

    def answer(self, request: GenerationRequest, index: int = 0) -> Answer:
        """Choice `index` of a request."""
        self._context.remove_sequence(0)
        vocab = self._model.vocab
        draw = _Draw(request, index, self._tokens)
        detokenizer = Detokenizer(vocab, request.params)
        known, text = list(request.token_ids), ""
        row = self._compute(known, 0)
        while True:
            known.append(draw.token(row))
            if known[-1] in vocab.end_of_generation_ids:
                break
            text += detokenizer.push(known[-1])
            limit = request.params.max_tokens or self._context_size
            if detokenizer.stopped or len(known) >= min(len(request.token_ids) + limit, self._context_size):
                break
            row = self._compute(known, len(known) - 1)
        return Answer(known[len(request.token_ids) :], text + detokenizer.finish(), draw.decided)

    def close(self) -> None:
        """Free context and model."""
        self._context.close()
        self._model.close()

    def _compute(self, token_ids: list[int], start: int) -> NDArray[np.float32]:
        batch = Batch(self._context_size)
        batch.add(0, start, token_ids[start:], wants_logits=True)
        assert self._context.decode(batch) is DecodeStatus.OK
        row: NDArray[np.float32] = self._context.logits()[0]
        return row


class _Draw:
    """Draws from logits as they are, and twice from logits a little off, to see whether it matters."""

    def __init__(self, request: GenerationRequest, index: int, tokens: TokenSpace) -> None:
        self.decided = True
        self._samplers = [Sampler(request.params, request.token_ids, index, tokens) for _ in range(3)]
        self._noise = np.random.default_rng(0)

    def token(self, row: NDArray[np.float32]) -> int:
        first, *others = self._samplers
        token_id = first.sample(row.copy())
        for sampler in others:
            noise = self._noise.uniform(-_ROUNDING, _ROUNDING, row.shape).astype(np.float32)
            self.decided &= sampler.sample(row + noise) == token_id
        if first.is_argmax:
            second, best = np.partition(row, -2)[-2:]
            self.decided &= bool(best - second > 2 * _ROUNDING)
        return token_id
