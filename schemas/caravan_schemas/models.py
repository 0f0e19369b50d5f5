"""The models list."""

from typing import Literal

from pydantic import Field, JsonValue

from caravan_schemas.base import Schema


class ModelMeta(Schema):
    """As llama.cpp's server has it: the most tokens of a prompt and its answer, here and in training."""

    n_ctx: int | None
    n_ctx_train: int | None


# Ollama's words, and two more.
Ability = Literal[
    "completion",
    "tools",
    "vision",
    "audio",
    "thinking",
    "insert",
    "structured_output",
    "embedding",
    "rerank",
]


class ModelArchitecture(Schema):
    """As OpenRouter has it: what a model reads, and what it writes."""

    modality: str
    input_modalities: list[str]
    output_modalities: list[str]


class ModelCard(Schema):
    """One model that requests can name, with OpenAI's four fields and some that other servers have.

    `max_model_len` (vLLM), `context_length` (OpenRouter, Together) and `context_window` (Groq) are three
    names for the most tokens that a prompt and its answer may have: an estimate until the model is loaded,
    null where its file cannot be read. `capabilities` has Ollama's words for what a model can do, which is
    what its file's header says until it is loaded; `supported_parameters` are OpenRouter's, of chats.
    `status` says whether it is loaded. As in vLLM, the `parent` of an adapter is the model that it goes with,
    and `root` is whose weights are used. An adapter that was added and whose file was not there when the
    model was loaded again has the status `failed`; the server's log says why.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str
    parent: str | None
    status: Literal["available", "loading", "loaded", "unloading", "failed"]
    max_model_len: int | None
    context_length: int | None
    context_window: int | None
    capabilities: list[Ability]
    architecture: ModelArchitecture
    supported_parameters: list[str]
    meta: ModelMeta


class NewAdapter(Schema):
    """Body of `POST /admin/models/{id}/adapters`."""

    name: str = Field(
        pattern=r"^[^\x00-\x20\x7f]+$", description="What requests call it; no other model has this name."
    )
    path: str = Field(min_length=1, description="Its GGUF file, on the server's machine.")


class RemovedAdapter(Schema):
    """The answer to `DELETE /admin/models/{id}/adapters/{name}`, in OpenAI's form for a deleted model."""

    id: str
    object: Literal["model"]
    deleted: Literal[True]


class ModelDefault(Schema):
    """The value of a decoding parameter that a request does not set, and where it comes from."""

    value: JsonValue
    source: Literal["gguf", "llama.cpp", "operator"]


class TemplateDetails(Schema):
    """What a model's chat template shows of a conversation, and `adaptations` to what it does not show.

    Calls are read in the `tool_format`, which with `is_guess` does not follow from the template.
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
    loaded anew. `max_draft_tokens` is how many tokens are guessed ahead at most: 0 where that is off, or the
    model's memory cannot forget a wrong guess; null until it is loaded. `prefix_reuse` is where a prompt can
    go on from another that begins alike: `anywhere`, at `checkpoints` such as the end of a turn, or only from
    a `whole` text and its answer; null until it is loaded.
    """

    defaults: dict[str, ModelDefault]
    presets: dict[str, dict[str, JsonValue]]
    chat_template: TemplateDetails | None
    file: Literal["unchanged", "modified", "replaced", "deleted"] | None
    max_draft_tokens: int | None
    prefix_reuse: Literal["anywhere", "checkpoints", "whole"] | None


class ModelList(Schema):
    """All models served here."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
