"""Texts into tokens, tokens into texts, messages into prompts: vLLM's and llama.cpp's spellings."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.chat import ConversationFields
from caravan_schemas.common import ModelFields
from caravan_schemas.messages import MAX_MESSAGES, Message
from caravan_schemas.sampling import TokenId


class TokenizeRequest(ConversationFields):
    """Body of `POST /tokenize`: one of `prompt`, `content` and `messages`."""

    prompt: str | None = Field(default=None, description="A text, as vLLM names it. BOS is added by default.")
    content: str | None = Field(
        default=None, description="A text, as llama.cpp names it. BOS is not added by default."
    )
    messages: list[Message] = Field(
        default=[],
        max_length=MAX_MESSAGES,
        fail_fast=True,
        description="A conversation: its tokens are those that a chat completion would begin with.",
    )
    add_special_tokens: bool | None = Field(
        default=None,
        description="Whether to add BOS and other special tokens, where the model wants them and the text "
        "does not begin with them.",
    )
    add_special: bool | None = Field(default=None, description="llama.cpp's name of `add_special_tokens`.")
    parse_special: bool | None = Field(
        default=None,
        description="False: the names of control tokens in `prompt` or `content` are read as plain text. "
        "Default true.",
    )
    return_token_strs: bool | None = Field(
        default=None,
        description="True: the answer also has `token_strs`, the text of each token. Default false.",
    )
    return_token_bytes: bool | None = Field(
        default=None,
        description="True: the answer also has `token_bytes`, the bytes of each token as numbers. Default "
        "false.",
    )
    with_pieces: bool | None = Field(
        default=None,
        description="True: `tokens` are objects of `id` and `piece`, as with llama.cpp. Default false.",
    )


class TokenPiece(Schema):
    """A token and its text; its bytes as numbers where they are no whole characters."""

    id: int
    piece: str | list[int]


class MediaPlace(Schema):
    """An image or a sound among the tokens: where it begins, and how many it takes.

    Those of them that are -1 have embeddings in their places; others are tokens of the projector.
    """

    type: Literal["image", "audio"]
    start: int = Field(description="The index of its first token.")
    num_tokens: int = Field(description="How many tokens it takes.")


class TokenizeResponse(Schema):
    """The tokens, and how many the model's context has."""

    tokens: list[int] | list[TokenPiece]
    count: int
    max_model_len: int
    token_strs: list[str] | None = None
    token_bytes: list[list[int]] | None = None
    media: list[MediaPlace] | None = Field(
        default=None, description="Where images and sounds are, if there are any."
    )


class DetokenizeRequest(ModelFields):
    """Body of `POST /detokenize`."""

    tokens: list[TokenId] = Field(fail_fast=True, description="Token ids. Control tokens are written out.")


class DetokenizeResponse(Schema):
    """The text, under vLLM's name and llama.cpp's."""

    prompt: str
    content: str


class ApplyTemplateRequest(ConversationFields):
    """Body of `POST /apply-template`."""


class ApplyTemplateResponse(Schema):
    """The prompt as the model would get it, BOS not counted where the tokenizer adds it."""

    prompt: str
