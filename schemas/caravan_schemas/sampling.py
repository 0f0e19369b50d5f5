"""Fields by which a request steers decoding, and the limits within which they work."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import Field, StringConstraints

from caravan_schemas.base import Schema, string_or_array
from caravan_schemas.common import PriorityFields, StreamOptions
from caravan_schemas.decoding import MAX_COUNT, RepetitionFields, ShapeFields
from caravan_schemas.logit_bias import LogitBias
from caravan_schemas.lora import LoraFields
from caravan_schemas.parameters import CARAVAN, LLAMA_CPP, OPENAI, VLLM, Parameter, Stage
from caravan_schemas.speculative import SpeculativeFields

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 1024
MAX_STOP_TOKENS = 256
MAX_ALLOWED_TOKENS = 65_536
MAX_BAD_WORDS = 1024
MAX_BAD_WORD_LENGTH = 200
MAX_SECONDS = 86_400
MAX_MILLISECONDS = MAX_SECONDS * 1000
MAX_SALT = 1024

StopString = Annotated[str, Field(max_length=MAX_STOP_LENGTH)]
Stop = Annotated[
    StopString | Annotated[list[StopString], Field(max_length=MAX_STOP_STRINGS, fail_fast=True)],
    string_or_array("stop_kind", "strings"),
]
TokenId = Annotated[int, Field(ge=0, le=MAX_COUNT)]
BadWord = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BAD_WORD_LENGTH)]

_MAX_TOKENS = Parameter(stage=Stage.END, source=OPENAI, aliases=("max_completion_tokens", "n_predict"))
MaxTokens = Annotated[int | None, Ge(-1), Le(MAX_COUNT), _MAX_TOKENS]
Choices = Annotated[
    int | None,
    Ge(1),
    Le(MAX_COUNT),
    Parameter(stage=Stage.DRAW, source=OPENAI, default=1, aliases=("n_cmpl",)),
]


def _bias(source: str, default: object = None) -> Parameter:
    return Parameter(stage=Stage.BIAS, source=source, default=default)


def _end(source: str, default: object = None) -> Parameter:
    return Parameter(stage=Stage.END, source=source, default=default)


class VocabularyFields(Schema):
    """Which tokens may come at all."""

    logit_bias: Annotated[LogitBias, _bias(OPENAI)] = Field(
        default=None,
        description="Added to the logits of tokens: an object that maps token ids or texts to numbers, or an "
        "array of pairs, in which a string is always a text. Each token of a text gets the bias; "
        "biases of one token add up. `false` bans a token, -100 only makes it very unlikely.",
    )
    bad_words: Annotated[list[BadWord] | None, MaxLen(MAX_BAD_WORDS), _bias(VLLM), Field(fail_fast=True)] = (
        Field(
            default=None,
            description="Texts that the answer never completes: the last token of a text is banned where its "
            "other tokens have just come. Each counts with and without a space before it.",
        )
    )
    allowed_token_ids: Annotated[
        list[TokenId] | None, MinLen(1), MaxLen(MAX_ALLOWED_TOKENS), _bias(VLLM), Field(fail_fast=True)
    ] = Field(default=None, description="The only tokens that may be drawn. Without it, all may.")
    ignore_eos: Annotated[bool | None, _bias(LLAMA_CPP, False)] = Field(
        default=None,
        description="True: ban the tokens by which the model ends its text. An answer to which its constraint"
        " leaves nothing to add ends all the same.",
    )


class EndFields(Schema):
    """When the text ends."""

    max_tokens: MaxTokens = Field(
        default=None,
        description="The most tokens to generate. -1 is as many as the context has room for, which is also "
        "the default, except for text completions, which have 16. A text that ends by this limit "
        "or by the context ends with `length`. 0 generates nothing: it is for the scores of a "
        "prompt, with `echo` or `prompt_logprobs`, or, as `n_predict`, to have a prompt in the "
        "cache.",
    )
    max_completion_tokens: MaxTokens = Field(default=None, description="The newer name of `max_tokens`.")
    n_predict: MaxTokens = Field(default=None, description="llama.cpp's name of `max_tokens`.")
    min_tokens: Annotated[int | None, Ge(0), Le(MAX_COUNT), _end(VLLM, 0)] = Field(
        default=None,
        description="How many tokens must come before the model, a stop string or a stop token may end the "
        "text. An answer to which its constraint leaves nothing to add ends all the same.",
    )
    stop: Annotated[Stop | None, _end(OPENAI)] = Field(
        default=None,
        description="Strings at which the text ends; up to 16, of at most 1024 characters. The string itself "
        "is left out. They are looked for in the content alone, not in thoughts or calls. An "
        "empty one counts as none.",
    )
    stop_token_ids: Annotated[
        list[TokenId] | None, MaxLen(MAX_STOP_TOKENS), _end(VLLM), Field(fail_fast=True)
    ] = Field(default=None, description="Tokens that end the text and are left out of it.")
    stop_limit: Annotated[int | None, Ge(1), Le(MAX_COUNT), _end(CARAVAN, 1)] = Field(
        default=None,
        description="At which occurrence of a stop string the text ends. Earlier ones stay in the text.",
    )
    include_stop_str_in_output: Annotated[bool | None, _end(VLLM, False)] = Field(
        default=None, description="True: the stop string that ends the text stays in it."
    )
    max_time: Annotated[float | None, Gt(0), Le(MAX_SECONDS), _end(CARAVAN)] = Field(
        default=None,
        description="Seconds from the arrival of the request after which the text ends, with `length`.",
    )
    t_max_predict_ms: Annotated[int | None, Ge(-1), Le(MAX_MILLISECONDS), _end(LLAMA_CPP)] = Field(
        default=None,
        description="Milliseconds from the first token after which the text ends at its next new line, with "
        "`length`. 0 and -1 are off.",
    )
    n_indent: Annotated[
        int | None,
        Ge(0),
        Le(MAX_COUNT),
        Parameter(stage=Stage.END, source=LLAMA_CPP, default=0, neutral=0),
    ] = Field(
        default=None,
        description="The text ends, with `length`, where one of its lines but the first is indented by fewer "
        "spaces and tabs than this. For code.",
    )


class DecodingFields(EndFields, VocabularyFields, RepetitionFields, ShapeFields):
    """All that a preset or an operator's default may set. Null leaves a value to the next of them."""


class DebugOptions(Schema):
    """What to tell about the answer's making."""

    decoding: bool | None = Field(
        default=None,
        description="True: the answer has `debug.decoding`, which lists the stages of decoding that act, in "
        "order, with their values. Default false.",
    )


class DrawnFields(DecodingFields):
    """All that decides how an answer is drawn; null means the default."""

    seed: Annotated[int | None, Ge(-(2**63)), Le(2**63 - 1), Parameter(stage=Stage.DRAW, source=OPENAI)] = (
        Field(
            default=None,
            description="Where random numbers begin: equal requests with equal seeds get equal texts. -1 "
            "is as without a seed: each time another text. 0 is a seed like any other.",
        )
    )
    preset: Annotated[
        Annotated[str, StringConstraints(min_length=1)] | None, Parameter(stage=Stage.DRAW, source=CARAVAN)
    ] = Field(
        default=None,
        description="The name of a set of decoding values. What the request itself sets comes before them.",
    )


class AnswerFields(PriorityFields, SpeculativeFields, LoraFields, DrawnFields):
    """Fields of every route that answers with text; null means the default."""

    stream: bool | None = Field(
        default=None, description="True: answer with server-sent events. Default false."
    )
    user: str | None = Field(default=None, description="A label of the caller's own. It has no effect.")
    debug: DebugOptions | None = Field(
        default=None, description="What to tell of how the answer was made. Default nothing."
    )


class CacheFields(Schema):
    """With whom a request shares prefixes in memory."""

    cache_salt: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SALT)] | None = Field(
        default=None,
        description="Share cached prefixes only with requests that have the same salt and a key of the same "
        "group. By default, with all requests of that group.",
    )
    cache_prompt: bool | None = Field(
        default=None,
        description="False: compute the whole prompt anew, and share its prefix with no other request. "
        "Default true.",
    )


class SamplingFields(AnswerFields, CacheFields):
    """Decoding fields of both completion routes; null means the default."""

    n: Choices = Field(
        default=None, description="How many choices to generate for each prompt. `--max-choices` limits it."
    )
    n_cmpl: Choices = Field(default=None, description="llama.cpp's name of `n`.")
    best_of: Annotated[int | None, Ge(1), Le(MAX_COUNT), Parameter(stage=Stage.DRAW, source=OPENAI)] = Field(
        default=None,
        description="Generate this many choices for each prompt, and answer with the `n` of the highest mean "
        "log probability, the best first. By default as many as `n`. Not with `stream`.",
    )
    stream_options: StreamOptions | None = Field(
        default=None, description="Options of a stream. Only with `stream`."
    )
