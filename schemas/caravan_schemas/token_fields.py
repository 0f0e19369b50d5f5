"""Fields of vLLM and llama.cpp about the tokens of prompts and answers."""

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS


class TruncationFields(Schema):
    """How texts become tokens, as vLLM has it."""

    add_special_tokens: bool | None = Field(
        default=None,
        description="False: no BOS and the like is put before a text. By default they are where the model "
        "wants them and the text does not begin with them.",
    )
    truncate_prompt_tokens: int | None = Field(
        default=None,
        ge=-1,
        le=MAX_COUNT,
        description="Keep only so many of the prompt's last tokens; a BOS that was put before a text is one "
        "of them, and stays. -1: as many as the context has room for, beside `max_tokens`. 0 is refused.",
    )


class TokenFields(TruncationFields):
    """The same, and what to tell of tokens, on both completion routes."""

    prompt_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Tell how likely each token of the prompt is, and so many of the likeliest in its place, "
        "as vLLM does. Not for streams.",
    )
    return_token_ids: bool | None = Field(
        default=None,
        description="Tell `prompt_token_ids`, and the `token_ids` of each choice, as vLLM does: all that "
        "were drawn, the one that ended the text included. Chunks have those that are new, the first chunk "
        "of a choice the prompt's.",
    )
    n_probs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="llama.cpp's way to ask for `logprobs` with so many of the likeliest tokens; 0 asks for "
        "nothing.",
    )
