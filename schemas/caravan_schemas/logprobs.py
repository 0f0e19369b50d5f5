"""Log probabilities of tokens, as OpenAI shows them on its two routes."""

from caravan_schemas.base import Schema

MAX_LOGPROBS = 20


class TopLogprob(Schema):
    r"""A token and its natural log probability.

    `token` is its text, or `bytes:` and the bytes as `\x..` where it is a part of a character. `bytes` is
    null for control tokens, which add nothing to the text.
    """

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """A token of the answer, and the likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(Schema):
    """Of a choice, or of what a chunk adds to it."""

    content: list[TokenLogprob]
    refusal: None


class PromptLogprob(Schema):
    """A token of the prompt, or one of the likeliest in its place, as vLLM shows it. Ranks begin with 1."""

    logprob: float
    rank: int
    decoded_token: str


# By token id; null for the first token, which has nothing before it.
PromptLogprobs = list[dict[str, PromptLogprob] | None]


class TextLogprobs(Schema):
    """The same for text completions: four lists of equal length.

    An entry of `top_logprobs` is the likeliest tokens and the one that came. `text_offset` counts characters
    of the choice's `text`. The first token of an echoed prompt has null for its log probabilities.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
