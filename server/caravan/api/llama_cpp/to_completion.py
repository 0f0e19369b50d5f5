"""Requests of llama.cpp's API into text completions, whose prompts are read in llama.cpp's forms."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import cast

from caravan_schemas.completions import CompletionRequest
from caravan_schemas.llama_cpp import LlamaCompletionRequest, LlamaFields, ObjectPrompt
from caravan_schemas.parameters import TRUNCATING
from caravan_schemas.samplers import FIXED

from caravan.api.completions import Source
from caravan.api.context import RequestContext
from caravan.api.output.echo import ReadPrompt
from caravan.api.params.resolved import PARAMETERS
from caravan.api.prompt.tokenize import (
    PromptRules,
    bare_ids,
    check_length,
    check_pieces,
    read_ids,
    tokenized,
    too_long,
)
from caravan.models.loaded_model import LoadedModel

# The fields that turn each sampler on.
_SWITCHES = {**{sampler: (name,) for sampler, name in TRUNCATING.items()}, **FIXED}
_SHARED = [name for name in LlamaFields.model_fields if name in CompletionRequest.model_fields]

OnePrompt = str | Sequence[str | int] | ObjectPrompt


def completion_of(request: LlamaFields, context: RequestContext) -> CompletionRequest:
    """Make the completion, but for its prompts.

    In llama.cpp a list of samplers leaves all others out, penalties and temperature too. What the request
    sets for those has no effect then, and its sender is told.
    """
    values = {name: getattr(request, name) for name in _SHARED}
    # Two names that differ are refused later.
    values["n"] = request.n or request.n_cmpl
    if request.samplers is not None:
        listed = request.samplers
        for name in chain.from_iterable(on for sampler, on in _SWITCHES.items() if sampler not in listed):
            known = PARAMETERS[name]
            for written in (name, *known.aliases):
                if values[written] not in (None, known.neutral):
                    context.metrics.ignore([written])
                values[written] = None
            values[name] = known.neutral
    # Every value has been validated as a part of the request.
    return CompletionRequest.model_construct(**values, prompt="")


def sources_of(request: LlamaCompletionRequest) -> list[Source]:
    """List what reads each prompt."""
    prompt = request.prompt
    if isinstance(prompt, list) and not any(isinstance(piece, int) for piece in prompt):
        # The schema saw to it that no item is a token id then.
        prompts = cast("list[OnePrompt]", prompt)
        return [partial(_read, one, f"prompt[{index}]") for index, one in enumerate(prompts)]
    return [partial(_read, cast("OnePrompt", prompt), "prompt")]


def _read(prompt: OnePrompt, param: str, model: LoadedModel, rules: PromptRules) -> ReadPrompt:
    """Read a prompt in any form; BOS is added before a text at its beginning."""
    if isinstance(prompt, ObjectPrompt):
        prompt, param = prompt.prompt_string, f"{param}.prompt_string"
    if isinstance(prompt, str):
        return ReadPrompt(token_ids=tokenized(model, prompt, param=param, rules=rules), text=prompt)
    check_pieces(model, prompt, param=param)
    token_ids: list[int] = []
    for index, piece in enumerate(prompt):
        if isinstance(piece, int):
            token_ids.append(piece)
        elif piece or not index:
            read = bare_ids if index else read_ids
            token_ids += read(model, piece, param=f"{param}[{index}]")
            if len(token_ids) >= model.context_size:
                # What follows is not read for nothing.
                raise too_long(model, f"at least {len(token_ids)}", param)
    check_length(model, token_ids, param=param)
    return ReadPrompt(token_ids=tuple(token_ids))
