"""Pairs of a query and a document, as requests bring them."""

from collections.abc import Sequence

from caravan.api.prompt.tokenize import plain_ids
from caravan.models.loaded_model import LoadedModel

# A query and a document, and the path of each document.
Pair = tuple[str, str, str]


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
