"""Answers of Ollama's API. Durations are in nanoseconds and were measured."""

from typing import Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.logprobs import TokenLogprob
from caravan_schemas.models import Ability
from caravan_schemas.ollama import OllamaCall
from caravan_schemas.ollama_options import Done


class OllamaErrorResponse(Schema):
    """The body of every answer under `/api` that is no success, and the last line of a stream that fails."""

    error: str


class OllamaReply(Schema):
    """The model's turn, or what a line adds to it. A call comes whole, in one line."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[OllamaCall] | None = None


class OllamaTimings(Schema):
    """What the last line of an answer tells.

    `load_duration` is the wait for the model, `prompt_eval_duration` the time from the prompt's turn in the
    engine to the first token, `eval_duration` from there to the last. `prompt_eval_count` counts all tokens
    of the prompt, cached ones too. `total_duration` is from the arrival of the request.
    """

    model: str
    created_at: str
    done: bool
    done_reason: Done | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    logprobs: list[TokenLogprob] | None = None


class OllamaChatAnswer(OllamaTimings):
    """A chat's answer, whole or as a line of a stream."""

    message: OllamaReply


class OllamaGenerateAnswer(OllamaTimings):
    """A text, whole or as a line of a stream."""

    response: str
    thinking: str | None = None


class OllamaEmbedAnswer(Schema):
    """The vectors in the inputs' order, each of length 1."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaEmbeddingsAnswer(Schema):
    """The vector of one text."""

    embedding: list[float]


class OllamaModelDetails(Schema):
    """What a model's file says of itself; an empty text is unknown."""

    parent_model: Literal[""] = ""
    format: Literal["gguf"] = "gguf"
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(Schema):
    """A model. `digest` is another when the file is another; it is no checksum of what is in it."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: OllamaModelDetails


class OllamaModelList(Schema):
    """All models that the caller may use, loaded or not."""

    models: list[OllamaModel]


class OllamaLoadedModel(Schema):
    """A loaded model. `size` is the memory that it may take, and `size_vram` what of it is a GPU's.

    `expires_at` is when the model goes if nobody uses it, as `keep_alive` and the operator say. Else it is
    the end of time: models go when others need their memory.
    """

    name: str
    model: str
    size: int
    size_vram: int
    digest: str
    details: OllamaModelDetails
    expires_at: str
    context_length: int


class OllamaLoadedList(Schema):
    """The models that are loaded."""

    models: list[OllamaLoadedModel]


class OllamaShown(Schema):
    """One model. `parameters` has the defaults that hold here, `template` the chat template in Jinja."""

    modified_at: str
    parameters: str
    template: str
    details: OllamaModelDetails
    model_info: dict[str, Any]
    capabilities: list[Ability]


class OllamaVersion(Schema):
    """`version` is that of the Ollama whose API this follows: clients look at it to know what they may ask.

    `caravan` is the server's own.
    """

    version: str
    caravan: str = Field(description="The version of this server.")
