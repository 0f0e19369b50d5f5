"""What a request says about how its prompts become tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan_schemas.token_fields import TruncationFields

from caravan.errors import InvalidRequestError
from caravan.models.loaded_model import LoadedModel

_LIMIT = "truncate_prompt_tokens"


@dataclass(frozen=True, kw_only=True)
class PromptRules:
    """`limit` is how many of the last tokens are kept; without one, a prompt that is too long is refused."""

    adds_special: bool = True
    limit: int | None = None

    @classmethod
    def of(cls, request: TruncationFields, most: int, best: int | None = None) -> "PromptRules":
        """Of a request for a model that reads at most so many tokens; raises InvalidRequestError.

        `best` is what is kept of a prompt where the request leaves it to the model.
        """
        limit = request.truncate_prompt_tokens
        if limit is not None and not (limit == -1 or 1 <= limit <= most):
            message = f"'{_LIMIT}' must be -1 or from 1 to {most}, the longest prompt for this model."
            raise InvalidRequestError(message, param=_LIMIT, code="invalid_value")
        if limit == -1:
            limit = best or most
        return cls(adds_special=request.add_special_tokens is not False, limit=limit)

    @classmethod
    def of_prompt(
        cls, request: TruncationFields, model: LoadedModel, max_tokens: int | None
    ) -> "PromptRules":
        """Of a prompt that is to be answered, for which there is room for one token at least."""
        most = model.context_size - 1
        return cls.of(request, most, max(1, min(most, model.context_size - (max_tokens or 1))))

    def cut(self, model: LoadedModel, token_ids: Sequence[int], text: str | None) -> list[int]:
        """What is kept of a prompt. `text` is what it came as, if it came as text."""
        if self.limit is None or len(token_ids) <= self.limit:
            return list(token_ids)
        first = token_ids[0]
        if text is None or first != model.vocab.bos_id or text.startswith(model.vocab.token_text(first)):
            return list(token_ids[-self.limit :])
        return [first, *token_ids[len(token_ids) - self.limit + 1 :]]


AS_THEY_ARE = PromptRules()


def refuse_suffix(request: TruncationFields, suffix: str | None) -> None:
    """Between the markers of a gap nothing can be cut, and it begins as the model has it."""
    for name in (_LIMIT, "add_special_tokens") if suffix else ():
        if getattr(request, name) is not None:
            message = f"'{name}' and 'suffix' do not go together."
            raise InvalidRequestError(message, param=name, code="invalid_value")
