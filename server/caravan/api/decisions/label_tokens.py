"""The tokens of labels where they stand: read together with the end of the prompt, as a model writes them."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.api.decisions.label_trie import num_common
from caravan.api.prompt.tokenize import bare_ids, text_ids
from caravan.errors import InvalidRequestError
from caravan.models.loaded_model import LoadedModel

# Tokens of a prompt's end that labels are read with, where no control token stands there.
_LONG_TAIL = 64
_TAIL = 16


@dataclass(frozen=True)
class Labelled:
    """`token_ids` are what all labels have before them; each of `labels` goes on with tokens of its own.

    There may be hundreds of prompts, and each has the whole input: four bytes a token.
    """

    token_ids: "array[int]"
    labels: tuple[tuple[int, ...], ...]


def labelled(
    model: LoadedModel, prompt: str, prompt_ids: tuple[int, ...], labels: Sequence[str], *, param: str
) -> Labelled:
    """Read labels as answers to a prompt; raises InvalidRequestError where two of them have the same tokens.

    `prompt_ids` are the prompt's tokens. Where a label changes the last of them, these are the label's.
    """
    before, tail = _cut(model, prompt, prompt_ids)
    # Only their ends differ from the prompt.
    end = prompt_ids[len(before) :]
    sequences = [_ids(model, tail + label, is_all=not before) for label in labels]
    if len(set(sequences)) < len(sequences):
        message = f"'{param}' has labels that are the same to this model."
        raise InvalidRequestError(message, param=param, code="invalid_value")
    shared = min(num_common(end, sequence) for sequence in sequences)
    return Labelled(array("i", (*before, *end[:shared])), tuple(sequence[shared:] for sequence in sequences))


def end_ids(model: LoadedModel) -> tuple[int, ...]:
    """List the tokens by which an answer may end; raises InvalidRequestError where there are none."""
    found = set(model.vocab.end_of_generation_ids)
    reasoning = model.family.reasoning
    for mark in reasoning.dropped[1:] if reasoning else ():
        ids = model.vocab.tokenize(mark, add_special=False, parse_special=True)
        found |= set(ids) if len(ids) == 1 else set()
    if not found:
        message = f"The model '{model.id}' has no token by which an answer ends."
        raise InvalidRequestError(message, param="model", code="invalid_value")
    return tuple(sorted(found))


def _cut(model: LoadedModel, prompt: str, prompt_ids: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Cut a prompt where nothing that follows can change the tokens before, and return these and the rest.

    That is behind its last control token, which no text joins, or else some tokens before its end.
    """
    vocab = model.vocab
    places = range(len(prompt_ids) - 1, -1, -1)
    place = next((place for place in places if not vocab.token_bytes(prompt_ids[place])), None)
    if place is not None:
        _, mark, tail = prompt.rpartition(vocab.token_text(prompt_ids[place]))
        is_short = len(prompt_ids) - place <= _LONG_TAIL
        if mark and is_short and _reads(model, tail, prompt_ids[place + 1 :]):
            return prompt_ids[: place + 1], tail
    try:
        tail = b"".join(map(vocab.token_bytes, prompt_ids[-_TAIL:])).decode()
    except UnicodeDecodeError:
        return (), prompt
    if len(prompt_ids) > _LONG_TAIL and _reads(model, tail, prompt_ids[-_TAIL:]):
        return prompt_ids[:-_TAIL], tail
    return (), prompt


def _reads(model: LoadedModel, text: str, token_ids: tuple[int, ...]) -> bool:
    """Whether a piece of text alone has the tokens that it has in its place."""
    return tuple(bare_ids(model, text, param="questions", parse_special=False)) == token_ids


def _ids(model: LoadedModel, text: str, *, is_all: bool) -> tuple[int, ...]:
    """Read the end of a prompt with a label, or all of it."""
    if is_all:
        return tuple(text_ids(model, text, param="questions"))
    return tuple(bare_ids(model, text, param="questions", parse_special=False))
