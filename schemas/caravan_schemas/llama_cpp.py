"""Requests of llama.cpp's own API: `/completion`, `/infill`, and what both have."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, JsonValue, StringConstraints, Tag

from caravan_schemas.base import Schema, by_json_type, string_or_array
from caravan_schemas.common import ModelFields, PriorityFields
from caravan_schemas.completions import MAX_PROMPTS, Prompt, TokenIds
from caravan_schemas.logprobs import MAX_LOGPROBS
from caravan_schemas.sampling import AnswerFields, CacheFields, Choices, TokenId
from caravan_schemas.structured import PeersConstraintFields

# Limits on the work that one body can cause.
MAX_PIECES = 65_536
MAX_EXTRAS = 1024
MAX_RESPONSE_FIELDS = 64

_KINDS = "must be a text, token ids, an array of both, an object with 'prompt_string', or an array of these"


def _prompt_kind(value: object) -> str:
    if isinstance(value, str):
        return "<string>"
    if isinstance(value, dict | ObjectPrompt):
        return "<object>"
    if not isinstance(value, list):
        return "<other>"
    kinds = set(map(type, value))
    if int in kinds:
        return "<ids>" if len(kinds) == 1 else "<pieces>"
    return "<prompts>"


_ByKind = Discriminator(_prompt_kind, custom_error_type="prompt_kind", custom_error_message=_KINDS)
# A text, or texts and token ids that follow each other.
Pieces = Annotated[
    list[
        Annotated[
            str | TokenId,
            by_json_type("piece_kind", "must be a text or a token id"),
        ]
    ],
    Field(min_length=1, max_length=MAX_PIECES, fail_fast=True),
]

TextOrPieces = Annotated[
    str | Pieces,
    string_or_array("text_kind", "texts and token ids"),
]


class ObjectPrompt(Schema):
    """A prompt with a name. llama.cpp has images beside it."""

    prompt_string: str


LlamaPrompt = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[TokenIds, Tag("<ids>")]
    | Annotated[Pieces, Tag("<pieces>")]
    | Annotated[ObjectPrompt, Tag("<object>")],
    _ByKind,
]
LlamaPrompts = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[TokenIds, Tag("<ids>")]
    | Annotated[Pieces, Tag("<pieces>")]
    | Annotated[ObjectPrompt, Tag("<object>")]
    | Annotated[
        Annotated[list[LlamaPrompt], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)],
        Tag("<prompts>"),
    ],
    _ByKind,
]


class LlamaFields(AnswerFields, CacheFields, PeersConstraintFields, ModelFields):
    """What all requests for text have."""

    n: Choices = Field(default=None, description="Another name of `n_cmpl`.")
    n_cmpl: Choices = Field(
        default=None, description="How many texts to generate for each prompt. `--max-choices` limits it."
    )
    n_probs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Above 0: tell the log probability of each token, and this many of the likeliest tokens "
        "for its place, after bias, bans and penalties. Default 0.",
    )
    post_sampling_probs: bool | None = Field(
        default=None,
        description="True: `n_probs` tells the probabilities that all samplers have left for the draw. "
        "Default false.",
    )
    return_tokens: bool | None = Field(
        default=None,
        description="True: return the ids of the generated `tokens`. Streams always do. Default false.",
    )
    return_progress: bool | None = Field(
        default=None,
        description="True: while the prompt is computed, events of a stream have `prompt_progress`. Default "
        "false.",
    )
    timings_per_token: bool | None = Field(
        default=None, description="True: every event of a stream has `timings`. Default false."
    )
    response_fields: list[Annotated[str, StringConstraints(max_length=100)]] | None = Field(
        default=None,
        max_length=MAX_RESPONSE_FIELDS,
        fail_fast=True,
        description="The only fields of the answer that are wanted. `a/b` is the field `b` of `a`, which is "
        "then told under that whole name. One that there is not is left out. All by default.",
    )


class LlamaCompletionRequest(LlamaFields):
    """Body of `POST /completion`."""

    prompt: LlamaPrompts = Field(
        description='What to continue: a text, token ids, an array of both, `{"prompt_string": ...}`, or an '
        "array of these, for as many answers."
    )


class ControlRequest(Schema):
    """Body of `POST /v1/chat/completions/control`."""

    id: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="The id of the chat completion that is running, as its chunks have it."
    )
    action: Literal["reasoning_end"] = Field(
        description="`reasoning_end`: the thought ends, and the answer begins."
    )
    model: str | None = Field(
        default=None, description="The model of the completion. By default it is looked for among all models."
    )


class ControlAnswer(Schema):
    """Whether the action was passed on; else the `message` says why not."""

    success: bool
    message: str | None = None


class ExtraText(Schema):
    """A piece of another file. `time` is a note of the editor's own, without effect."""

    text: str
    filename: str = "tmp"
    time: JsonValue = None


class InfillRequest(LlamaFields):
    """Body of `POST /infill`."""

    input_prefix: TextOrPieces = Field(
        description="What stands before the gap. Its end is read, as much as fits."
    )
    input_suffix: TextOrPieces = Field(
        description="What stands after the gap. Its beginning is read, as much as fits."
    )
    input_extra: list[ExtraText] | None = Field(
        default=None,
        max_length=MAX_EXTRAS,
        fail_fast=True,
        description="Pieces of other files, which come first. The last of them are read, as much as fits.",
    )
    prompt: str | None = Field(
        default=None, description="What follows `input_prefix`: the beginning of the line that is written."
    )


class LlamaEmbeddingRequest(PriorityFields, ModelFields):
    """Body of `POST /embedding`."""

    content: Prompt = Field(
        description="What to embed: a text, an array of texts, an array of token ids, or an array of such "
        "arrays."
    )


class LlamaEmbedding(Schema):
    """The vector of one text, of length 1; the only one of its list."""

    index: int
    embedding: list[list[float]]


class LlamaDefaults(Schema):
    """The decoding where a request says nothing, and how many tokens prompt and answer may have."""

    params: dict[str, object]
    n_ctx: int


class LlamaModalities(Schema):
    """What a model reads besides text."""

    vision: bool = False
    audio: bool = False
    video: Literal[False] = False


class LlamaProps(Schema):
    """What a model and its server are like. `total_slots` are the texts that are written at once."""

    default_generation_settings: LlamaDefaults
    total_slots: int
    model_alias: str
    model_ftype: str
    modalities: LlamaModalities
    endpoint_slots: Literal[True] = True
    endpoint_props: Literal[False] = False
    endpoint_metrics: Literal[True] = True
    chat_template: str
    chat_template_caps: dict[str, bool]
    bos_token: str
    eos_token: str
    build_info: str
    is_sleeping: Literal[False] = False


class LlamaSlot(Schema):
    """A place for a text that is being written. Whose it is and what is in it is not told."""

    id: int
    n_ctx: int
    speculative: Literal[False] = False
    is_processing: bool
