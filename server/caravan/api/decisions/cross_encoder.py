"""Ranks by models made for it: each pair of texts is read as one, and the model's head says how well they go
together.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import numpy as np

from caravan.api.context import RequestContext
from caravan.api.embeddings import MAX_TOKENS, vectors_of
from caravan.api.prompt.tokenize import LEAST_LONGEST, bare_ids, check_fits, plain_ids
from caravan.auth.principal import Principal
from caravan.engine.embedding.values import Pooling
from caravan.errors import InvalidRequestError, InvalidValueError
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread

# A query and a document, and the path of each document.
Pair = tuple[str, str, str]

_TEMPLATE = "tokenizer.chat_template.rerank"
_QUERY, _DOCUMENT = "{query}", "{document}"
# llama.cpp makes probabilities of yes and of no of what the heads of these say, and leaves others alone.
_YES_OR_NO = ("qwen3", "qwen3vl")


def with_first_tokens(model: LoadedModel, pairs: Sequence[Pair], limit: int | None) -> Sequence[Pair]:
    """Keep no more than so many tokens of each document, the first; a character that is cut goes whole."""
    if limit is None:
        return pairs
    return [(query, _beginning(model, document, param, limit), param) for query, document, param in pairs]


def _beginning(model: LoadedModel, text: str, param: str, limit: int) -> str:
    # A token stands for no more than so many bytes, and a character has four at most.
    likely = text[: limit * max(4, model.vocab.longest_token)]
    token_ids = plain_ids(model, likely, param=param)
    if len(token_ids) <= limit:
        return likely
    kept = b"".join(map(model.vocab.token_bytes, token_ids[:limit]))
    return kept.decode(errors="ignore").removeprefix("" if likely.startswith(" ") else " ")


async def relevance(
    model: LoadedModel,
    pairs: Callable[[LoadedModel], Sequence[Pair]],
    context: RequestContext,
    who: Principal,
    *,
    is_much: bool,
) -> tuple[list[float], int]:
    """Return how well each pair goes together, from 0 to 1, and the tokens of all.

    Raises InvalidRequestError. Cancelling it aborts the work in the engine.
    """
    if model.engine.traits.embedding_size != (2 if _says_yes_or_no(model) else 1):
        message = f"'{model.id}' sorts texts into classes; it ranks none."
        raise InvalidRequestError(message, param="model", code="invalid_value")
    read = in_busy_thread if is_much else in_thread
    async with (model.long_threads if is_much else model.threads).held(who.id, who.weight):
        inputs = await read(lambda: _inputs(model, pairs(model)))
    vectors = await vectors_of(model, inputs, Pooling.RANK, context, who)
    numbers = [float(np.frombuffer(vector, "<f4")[0]) for vector in vectors]
    return numbers if _says_yes_or_no(model) else list(map(_sigmoid, numbers)), sum(map(len, inputs))


def _says_yes_or_no(model: LoadedModel) -> bool:
    return model.metadata.get("general.architecture") in _YES_OR_NO


def _sigmoid(number: float) -> float:
    """As the papers of these models have it, between 0 and 1; never too large for `exp`."""
    small = math.exp(-abs(number))
    return (small if number < 0 else 1.0) / (1.0 + small)


def _inputs(model: LoadedModel, pairs: Sequence[Pair]) -> tuple[tuple[int, ...], ...]:
    inputs, num_tokens = [], 0
    for query, document, param in pairs:
        inputs.append(tuple(_joined(model, query, document, param)))
        check_fits(model, len(inputs[-1]), param=param)
        # Very long texts may be few tokens, and a query is read with each document.
        num_tokens += max(len(inputs[-1]), (len(query) + len(document)) // LEAST_LONGEST)
        if num_tokens > MAX_TOKENS:
            most = f"{MAX_TOKENS} tokens or {MAX_TOKENS * LEAST_LONGEST} characters"
            raise InvalidValueError(param, f"is one too many: all pairs have more than {most}")
    return tuple(inputs)


def _joined(model: LoadedModel, query: str, document: str, param: str) -> Sequence[int]:
    """Write a pair by the model's own template for it, else as its tokenizer joins two texts."""
    template = model.metadata.get(_TEMPLATE)
    if template is not None:
        return _filled(model, template, {_QUERY: query, _DOCUMENT: document}, param)
    first = bare_ids(model, query, param=param, add_special=True, parse_special=False)
    second = bare_ids(model, document, param=param, add_special=True, parse_special=False)
    begins = len(second) > 0 and second[0] == model.vocab.bos_id
    return [*first, *model.separator_ids, *second[begins:]]


def _filled(model: LoadedModel, template: str, texts: dict[str, str], param: str) -> Sequence[int]:
    """Fill in the texts; the words of special tokens in them are just text."""
    parts = _parts(template, texts)
    if all(_is_plain(model, text, param) for text in texts.values()):
        # In one piece, as the model has learnt it.
        return bare_ids(model, "".join(part for part, _ in parts), param=param)
    return list(
        chain.from_iterable(
            bare_ids(model, part, param=param, parse_special=is_ours) for part, is_ours in parts
        )
    )


def _is_plain(model: LoadedModel, text: str, param: str) -> bool:
    return bare_ids(model, text, param=param) == bare_ids(model, text, param=param, parse_special=False)


def _parts(template: str, texts: dict[str, str]) -> list[tuple[str, bool]]:
    """Split the template at its places: what is written there, and whether it is the template's."""

    def split(text: str, places: Sequence[str]) -> Iterator[tuple[str, bool]]:
        if not places:
            yield text, True
            return
        for index, part in enumerate(text.split(places[0])):
            if index:
                yield texts[places[0]], False
            yield from split(part, places[1:])

    return list(split(template, list(texts)))
