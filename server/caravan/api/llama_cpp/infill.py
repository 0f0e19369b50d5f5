"""The prompt of `/infill`, with as much of each part as llama.cpp's server takes."""

from collections.abc import Sequence

from caravan_schemas.llama_cpp import ExtraText, InfillRequest

from caravan.api.output.echo import ReadPrompt
from caravan.api.prompt.infill import Ids, around_gap
from caravan.api.prompt.tokenize import (
    LEAST_LONGEST,
    PromptRules,
    bare_ids,
    check_length,
    check_pieces,
    plain_ids,
)
from caravan.errors import NotServedError
from caravan.models.loaded_model import LoadedModel

# Tokens around the gap, three of four before it: the size of a batch of llama.cpp's server by default. A
# quarter as much is left for what is written.
_WINDOW = 2048
_REPOSITORY, _FILE = "myproject\n", "filename\n"
_SNIPPET = "\n\n--- snippet ---\n\n"


def read_gap(request: InfillRequest, model: LoadedModel, _rules: PromptRules) -> ReadPrompt:
    """Write the prompt. Raises NotServedError where the model has no tokens for gaps."""
    if model.vocab.fill_ids is None:
        raise NotServedError(f"The model '{model.id}' has no tokens for filling in the middle.")
    window = min(_WINDOW, model.context_size // 2)
    begun = plain_ids(model, request.prompt or "", param="prompt")
    before = _ids(model, request.input_prefix, "input_prefix", 3 * (window // 4), is_end=True)
    num_after = max(0, window // 4 - 2 - len(begun))
    after = _ids(model, request.input_suffix, "input_suffix", num_after, is_end=False)
    num_others = model.context_size - window - window // 4
    others = _ids(model, _others(model, request.input_extra or ()), "input_extra", num_others, is_end=True)
    token_ids = around_gap(model, (*before, *begun), after, others)
    check_length(model, token_ids, param="prompt")
    return ReadPrompt(token_ids=token_ids)


def _ids(
    model: LoadedModel, given: str | Sequence[str | int], param: str, count: int, *, is_end: bool
) -> Ids:
    """Read the last or the first so many tokens of a text. Work is bounded by what is taken of it."""
    taken: list[int] = []
    pieces = [given] if isinstance(given, str) else given
    check_pieces(model, pieces, param=param)
    for piece in filter(lambda each: each != "", reversed(pieces) if is_end else pieces):
        missing = count - len(taken)
        if missing <= 0:
            break
        if isinstance(piece, str):
            longest = missing * max(model.vocab.longest_token, LEAST_LONGEST)
            text = piece[-longest:] if is_end else piece[:longest]
            ids: Ids = bare_ids(model, text, param=param, parse_special=False)
        else:
            ids = [piece]
        taken = [*ids[-missing:], *taken] if is_end else [*taken, *ids[:missing]]
    return taken


def _others(model: LoadedModel, extras: Sequence[ExtraText]) -> list[str | int]:
    """List what comes before the file with the gap, file by file, where the model has tokens for files."""
    repository_id, file_id = model.vocab.file_ids
    pieces: list[str | int] = [] if repository_id is None else [repository_id, _REPOSITORY]
    for extra in extras:
        pieces += [_SNIPPET] if file_id is None else [file_id, f"{extra.filename}\n"]
        pieces.append(extra.text)
    return pieces if file_id is None else [*pieces, file_id, _FILE]
