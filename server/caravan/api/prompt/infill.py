"""A gap to fill: what stands before and after it, put between the tokens that the model knows for that."""

from collections.abc import Sequence

from caravan_schemas.completions import CompletionRequest

from caravan.api.prompt.tokenize import check_length, checked_ids, plain_ids
from caravan.errors import InvalidRequestError, UnsupportedParameterError
from caravan.models.loaded_model import LoadedModel


def infilled(model: LoadedModel, prompt: str | Sequence[int], suffix: str, *, param: str) -> tuple[int, ...]:
    """The prompt by which the model writes what is missing between `prompt`, at `param`, and `suffix`.

    Prefix, suffix, middle: the order in which the models are trained that have tokens for this. Special
    tokens' names within the texts are just text here.
    """
    fill_ids = model.vocab.fill_ids
    if fill_ids is None:
        message = "'suffix' is not supported: the model has no tokens for filling in the middle."
        raise UnsupportedParameterError(message, param="suffix")
    before = (
        plain_ids(model, prompt, param=param)
        if isinstance(prompt, str)
        else checked_ids(model, prompt, param=param)
    )
    after = plain_ids(model, suffix, param="suffix")
    begin = [model.vocab.bos_id] if model.bos_text and model.vocab.bos_id is not None else []
    prefix_id, suffix_id, middle_id = fill_ids
    token_ids = (*begin, prefix_id, *before, suffix_id, *after, middle_id)
    check_length(model, token_ids, param=param)
    return token_ids


def refuse_echo(request: CompletionRequest) -> None:
    """There is no one text of prompt, gap and suffix to put before an answer, nor of a prompt that is cut."""
    for name in ("suffix", "truncate_prompt_tokens") if request.echo else ():
        if getattr(request, name):
            message = f"'echo' and '{name}' do not go together."
            raise InvalidRequestError(message, param="echo", code="invalid_value")
