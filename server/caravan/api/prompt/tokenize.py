"""Prompt text and token ids into prompts that the engine can be given."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from caravan_schemas.prediction import Prediction
from caravan_schemas.token_fields import TruncationFields

from caravan.errors import ContextLengthError, InvalidRequestError, InvalidValueError
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.machine import require_memory

# What tokenizers take at their worst while they read a byte of text: a long word, in pieces.
_BYTES_A_BYTE = 140
# Characters that any tokenizer reads in a moment.
_SHORT = 65536
# For tokenizers that fold characters they do not know into one token.
LEAST_LONGEST = 16
# What an answer leaves out of its prediction makes that longer; what lies this far on is hardly reached.
_MOST_CONTEXTS = 2


@dataclass(frozen=True, kw_only=True)
class PromptRules:
    """`limit` is how many of the last tokens are kept; without one, a prompt that is too long is refused."""

    adds_special: bool = True
    limit: int | None = None

    @classmethod
    def of(cls, request: TruncationFields, most: int, best: int | None = None) -> "PromptRules":
        """Read the rules for a model that reads at most `most` tokens; raises InvalidRequestError.

        `best` is the limit where the request leaves it to the server.
        """
        limit = request.truncate_prompt_tokens
        if limit is not None and not (limit == -1 or 1 <= limit <= most):
            raise InvalidValueError(
                "truncate_prompt_tokens", f"must be -1 or from 1 to {most}, the longest prompt for this model"
            )
        if limit == -1:
            limit = best or most
        return cls(adds_special=request.add_special_tokens is not False, limit=limit)

    @classmethod
    def of_prompt(
        cls, request: TruncationFields, model: LoadedModel, max_tokens: int | None
    ) -> "PromptRules":
        """Read the rules for a prompt that is to be answered, by at least one token."""
        most = model.context_size - 1
        return cls.of(request, most, max(1, min(most, model.context_size - (max_tokens or 1))))

    def cut(self, model: LoadedModel, token_ids: Sequence[int], text: str | None) -> list[int]:
        """Cut a prompt to the limit. `text` is what it came as, if it came as text."""
        if self.limit is None or len(token_ids) <= self.limit:
            return list(token_ids)
        first = token_ids[0]
        if text is None or first != model.vocab.bos_id or text.startswith(model.vocab.token_text(first)):
            return list(token_ids[-self.limit :])
        return [first, *token_ids[len(token_ids) - self.limit + 1 :]]


AS_THEY_ARE = PromptRules()


def tokenized(
    model: LoadedModel, text: str, *, param: str, rules: PromptRules = AS_THEY_ARE
) -> tuple[int, ...]:
    """Tokenize a prompt; special tokens are recognised, as in any raw prompt.

    BOS is added where the model wants it and the text does not begin with it. Words of special tokens in a
    text are read as these tokens: a template gives no way to tell them apart.
    """
    token_ids = read_ids(model, text, param=param, rules=rules)
    if not token_ids and rules.adds_special and model.vocab.bos_id is not None:
        token_ids = [model.vocab.bos_id]
    if not token_ids:
        raise InvalidValueError(param, "must not be empty: the model has no token to begin with")
    check_length(model, token_ids, param=param)
    return tuple(token_ids)


def read_ids(model: LoadedModel, text: str, *, param: str, rules: PromptRules = AS_THEY_ARE) -> list[int]:
    """Tokenize a text that is to fit into the context, if need be by the `rules`; refuses others early."""
    if len(text) > _SHORT and rules.limit is None:
        _refuse_hopeless(model, text, param)
    return rules.cut(model, text_ids(model, text, param=param, adds_special=rules.adds_special), text)


def text_ids(
    model: LoadedModel, text: str, *, param: str, adds_special: bool = True, parse_special: bool = True
) -> "array[int]":
    """Tokenize a text of any length, perhaps of none, with BOS and the like as `tokenized` adds them."""
    starts_with_bos = bool(model.bos_text) and text.startswith(model.bos_text)
    add_special = adds_special and not starts_with_bos
    return bare_ids(model, text, param=param, add_special=add_special, parse_special=parse_special)


def plain_ids(model: LoadedModel, text: str, *, param: str) -> "array[int]":
    """Tokenize a piece of a prompt, perhaps an empty one; the words of special tokens are just text."""
    if len(text) > _SHORT:
        _refuse_hopeless(model, text, param)
    return bare_ids(model, text, param=param, parse_special=False)


def predicted_ids(model: LoadedModel, prediction: Prediction) -> tuple[int, ...]:
    """Tokenize what a client expects, as much of it as an answer may come to; no word is a special token.

    Raises InvalidRequestError where it cannot be tokenized, and MemoryShortError.
    """
    most = _MOST_CONTEXTS * model.context_size
    text = prediction.text[: most * model.vocab.longest_token]
    return tuple(bare_ids(model, text, param="prediction", parse_special=False)[:most])


def checked_ids(
    model: LoadedModel, token_ids: Sequence[int], *, param: str, rules: PromptRules = AS_THEY_ARE
) -> tuple[int, ...]:
    """Read a prompt that came as token ids; ids outside the vocabulary must never reach the engine."""
    check_ids(model, token_ids, param=param)
    kept = rules.cut(model, token_ids, None)
    check_length(model, kept, param=param)
    return tuple(kept)


def check_ids(model: LoadedModel, token_ids: Sequence[int], *, param: str) -> None:
    """Refuse ids outside of the vocabulary."""
    for index, token_id in enumerate(token_ids):
        if token_id >= model.vocab.size:
            where = f"{param}[{index}]"
            raise InvalidValueError(where, f"must be from 0 to {model.vocab.size - 1}, the model's token ids")


def check_pieces(model: LoadedModel, pieces: Sequence[str | int], *, param: str) -> None:
    """Refuse ids outside of the vocabulary, among texts."""
    check_ids(model, [0 if isinstance(piece, str) else piece for piece in pieces], param=param)


def _refuse_hopeless(model: LoadedModel, text: str, param: str) -> None:
    """Refuse a text that cannot fit before all of it is tokenized."""
    smallest_count = len(text.encode()) // max(model.vocab.longest_token, LEAST_LONGEST)
    if smallest_count >= model.context_size:
        raise too_long(model, f"at least {smallest_count}", param)
    length = _SHORT
    while length < len(text):
        count = len(bare_ids(model, text[:length], param=param))
        # A cut may change the tokens around it; twice the context leaves no doubt.
        if count >= 2 * model.context_size:
            raise too_long(model, f"about {count * len(text) // length}", param)
        length *= 2


def bare_ids(
    model: LoadedModel, text: str, *, param: str, add_special: bool = False, parse_special: bool = True
) -> "array[int]":
    """Tokenize a text of any length.

    Raises InvalidRequestError where it cannot be tokenized, and MemoryShortError.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    require_memory(size * _BYTES_A_BYTE, f"'{param}'")
    try:
        return model.vocab.token_array(text, add_special=add_special, parse_special=parse_special)
    except ValueError as error:
        raise InvalidValueError(param, f"cannot be tokenized: {error}") from error


def check_length(model: LoadedModel, token_ids: Sequence[int], *, param: str) -> None:
    """Refuse a prompt that leaves no room for a single token of answer."""
    if len(token_ids) >= model.context_size:
        raise too_long(model, str(len(token_ids)), param)


def check_generates(model: LoadedModel) -> None:
    """Refuse a prompt for a model that writes no text."""
    if not model.engine.traits.can_generate:
        message = f"The model '{model.id}' makes embeddings only."
        raise InvalidRequestError(message, param="model", code="invalid_value")


def check_fits(model: LoadedModel, count: int, *, param: str) -> None:
    """Refuse an input that the model cannot read as a whole."""
    if count > model.context_size:
        raise ContextLengthError(
            f"This model reads at most {model.context_size} tokens at once. '{param}' has {count}.",
            param=param,
        )


def too_long(model: LoadedModel, count: str, param: str) -> ContextLengthError:
    """Make the error about a prompt that has so many tokens."""
    return ContextLengthError(
        f"This model's context is {model.context_size} tokens, prompt and answer together. "
        f"The prompt has {count} tokens.",
        param=param,
    )
