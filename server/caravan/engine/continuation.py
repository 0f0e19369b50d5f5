"""Answers of which some stands already: its tokens are taken as if they had been drawn."""

from collections.abc import Sequence

import msgspec

from caravan.engine.constraints.guide import Guide
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.params import AnswerLayout, GenerationRequest, Reasoning, SamplingParams
from caravan.grammars.token_table import TokenTable


class ContinuationError(Exception):
    """What stands could not have been drawn, or the text has ended in it."""


def split_prompt(request: GenerationRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The prompt, and behind it the tokens that the answer is continued from."""
    length = len(request.token_ids) - request.num_continued
    return request.token_ids[:length], request.token_ids[length:]


def standing(request: GenerationRequest, index: int) -> tuple[int, ...]:
    """The tokens of a choice that stand already: in what it is continued from, or drawn by another engine."""
    return (request.drawn[index] or ()) if request.drawn else split_prompt(request)[1]


def is_replayed(request: GenerationRequest, index: int) -> bool:
    """Tell whether the next draw depends on how the tokens that stand were drawn: by a stream of chance that
    can be repeated, or by what mirostat or adaptive-p have learnt. Their rows of logits are needed then.
    """
    params = request.params
    if not standing(request, index):
        return False
    is_random = params.temperature > 0 or params.dynatemp_range > 0 or params.xtc_probability > 0
    has_memory = params.mirostat > 0 or params.adaptive_target >= 0
    return has_memory or (is_random and params.seed is not None)


def remaining(request: GenerationRequest) -> GenerationRequest:
    """The same request with limits that count from where the answer is continued."""
    count, params = request.num_continued, request.params
    if not count:
        return request
    most = params.max_tokens
    params = msgspec.structs.replace(
        params,
        min_tokens=max(0, params.min_tokens - count),
        max_tokens=None if most is None else max(0, most - count),
    )
    return msgspec.structs.replace(request, params=params)


def lead(guide: Guide, token_ids: Sequence[int]) -> None:
    """Lead a constraint, or a thought, over tokens that stand.

    Raises ContinuationError and ConstraintError.
    """
    for token_id in token_ids:
        # A spent budget of thought shows here. What a mask forces is no matter: other tokens may spell it.
        guide.forced(is_ruled=True)
        admit(guide, token_id)


def admit(guide: Guide, token_id: int) -> None:
    """Have a constraint, or a thought, note a token that stands and that something is to follow.

    Raises ContinuationError and ConstraintError.
    """
    if not guide.admits(token_id):
        raise ContinuationError(f"its constraint does not allow the token {token_id} where it stands")
    if guide.is_complete:
        raise ContinuationError(f"its constraint is satisfied with the token {token_id}, and complete")


def read_over(detokenizer: Detokenizer, token_ids: Sequence[int], min_tokens: int) -> int:
    """Have a detokenizer take tokens that stand; how many characters of them it has let go.

    Raises ContinuationError where the text ends in them.
    """
    num_told = 0
    for count, token_id in enumerate(token_ids, 1):
        num_told += len(detokenizer.push(token_id, may_stop=count >= min_tokens))
        if detokenizer.is_cut:
            raise ContinuationError(f"the text ends with the token at place {count - 1}")
    return num_told


class ContinuedDetokenizer(Detokenizer):
    """A detokenizer of a text of which `token_ids` stand already; only what follows is told.

    The first piece has the character, or the beginning of what is no stop string after all, that those tokens
    have left open. Raises ContinuationError where the text ends in them.
    """

    def __init__(
        self,
        token_ids: Sequence[int],
        table: TokenTable,
        params: SamplingParams,
        shown_token_ids: tuple[int, ...] = (),
        reasoning: Reasoning | None = None,
        layout: AnswerLayout | None = None,
    ) -> None:
        super().__init__(table, params, shown_token_ids, reasoning, layout)
        self._num_standing = 0
        num_told = read_over(self, token_ids, params.min_tokens)
        self._num_standing = self.num_decoded - num_told

    def push(self, token_id: int, *, may_stop: bool = True) -> str:
        """Take a token that has been drawn, as `Detokenizer.push` does."""
        return self._news(super().push(token_id, may_stop=may_stop))

    def finish(self) -> str:
        """Return the text held back, as `Detokenizer.finish` does."""
        return self._news(super().finish())

    def _news(self, text: str) -> str:
        """Leave out characters that stand and were held back until now."""
        standing = min(self._num_standing, len(text))
        self._num_standing -= standing
        return text[standing:]
