"""Prompts by which a model fills a gap, if it has tokens for that."""

from collections.abc import Sequence

from caravan.api.prompt.tokenize import check_length, checked_ids, plain_ids
from caravan.errors import UnsupportedParameterError
from caravan.models.loaded_model import LoadedModel

Ids = Sequence[int]


def infilled(model: LoadedModel, prompt: str | Sequence[int], suffix: str, *, param: str) -> tuple[int, ...]:
    """Write the prompt by which the model fills the gap between `prompt`, at `param`, and `suffix`.

    Names of special tokens within the texts are just text here.
    """
    if model.vocab.fill_ids is None:
        message = "'suffix' is not supported: the model has no tokens for filling in the middle."
        raise UnsupportedParameterError(message, param="suffix")
    before = (
        plain_ids(model, prompt, param=param)
        if isinstance(prompt, str)
        else checked_ids(model, prompt, param=param)
    )
    token_ids = around_gap(model, before, plain_ids(model, suffix, param="suffix"))
    check_length(model, token_ids, param=param)
    return token_ids


def around_gap(model: LoadedModel, before: Ids, after: Ids, others: Ids = ()) -> tuple[int, ...]:
    """Join what stands before and after a gap, behind what comes first of other files.

    The order is prefix, suffix, middle, as models with tokens for this are trained.
    """
    assert model.vocab.fill_ids is not None
    prefix_id, suffix_id, middle_id = model.vocab.fill_ids
    begin = [model.vocab.bos_id] if model.bos_text and model.vocab.bos_id is not None else []
    return (*others, *begin, prefix_id, *before, suffix_id, *after, middle_id)
