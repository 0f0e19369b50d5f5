"""Fields of vLLM and llama.cpp about the tokens of prompts and answers."""

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS


class TruncationFields(Schema):
    """How texts become tokens, as vLLM has it."""

    add_special_tokens: bool | None = Field(
        default=None,
        description="False: add no BOS or other special token to a text. By default they are added where the "
        "model wants them and the text does not begin with them.",
    )
    truncate_prompt_tokens: int | None = Field(
        default=None,
        ge=-1,
        le=MAX_COUNT,
        description="Keep only this many of the prompt's last tokens; a BOS that was added counts, and stays."
        " -1 keeps as many as the context has room for, beside `max_tokens`. 0 is refused. By "
        "default a prompt that is too long is refused.",
    )


class TokenFields(TruncationFields):
    """The same, and what to tell of tokens, on both completion routes."""

    prompt_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Return the log probability of each token of the prompt, and this many of the likeliest "
        "tokens for its position, as vLLM does. None by default. Not with `stream`.",
    )
    return_token_ids: bool | None = Field(
        default=None,
        description="True: return `prompt_token_ids`, and the `token_ids` of each choice, as vLLM does: all "
        "that were drawn, with the one that ended the text. A chunk has those that are new; the "
        "first chunk of a choice has those of the prompt. Default false.",
    )
    return_progress: bool | None = Field(
        default=None,
        description="True: while the prompt is computed, events of a stream have `prompt_progress`, as with "
        "llama.cpp: how many tokens it has (`total`), how many of them were in the cache before (`cache`) "
        "and are in memory now (`processed`), and after how much time (`time_ms`). Default false.",
    )
    n_probs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="llama.cpp's name for `logprobs` with this many of the likeliest tokens. 0 asks for "
        "nothing, and is the default.",
    )
