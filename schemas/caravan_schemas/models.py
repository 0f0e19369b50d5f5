"""The models list."""

from typing import Literal

from pydantic import JsonValue

from caravan_schemas.base import Schema


class ModelMeta(Schema):
    """What llama.cpp's server tells of a model: tokens of a prompt and its answer, here and in training."""

    n_ctx: int | None
    n_ctx_train: int | None


class ModelCard(Schema):
    """One model that requests can name. All but OpenAI's four fields is others'.

    `status` says whether a request would find it loaded. The most tokens of a prompt and its answer are told
    under the names that clients read: `max_model_len` (vLLM), `context_length` (OpenRouter, Together) and
    `context_window` (Groq); null where the file cannot be read. Until a model is loaded they are an estimate.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    status: Literal["available", "loading", "loaded", "unloading", "failed"]
    max_model_len: int | None
    context_length: int | None
    context_window: int | None
    meta: ModelMeta


class ModelDefault(Schema):
    """A decoding value that holds where a request says nothing, and who said it."""

    value: JsonValue
    source: Literal["gguf", "llama.cpp", "operator"]


class TemplateDetails(Schema):
    """What the chat template shows by itself, and how conversations are adapted to it else.

    Calls are read in the `tool_format`; with `is_guess`, the template does not tell whether the model writes
    them so.
    """

    system: bool
    developer: bool
    tools: bool
    tool_calls: bool
    parallel_tool_calls: bool
    tool_results: bool
    reasoning: bool
    continues_answers: bool
    adaptations: list[str]
    tool_format: str | None
    is_guess: bool


class ModelDetails(ModelCard):
    """One model with its effective defaults, and the presets that requests can name.

    `chat_template` is null until the model is loaded: only then is its template tried. `file` is what has
    become of the model's file since then: a model goes on with the one that it was loaded from until it is
    loaded anew.
    """

    defaults: dict[str, ModelDefault]
    presets: dict[str, dict[str, JsonValue]]
    chat_template: TemplateDetails | None
    file: Literal["unchanged", "modified", "replaced", "deleted"] | None


class ModelList(Schema):
    """All models served here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
