"""What Ollama's `options` may hold; what each does is said by the decoding parameter that it stands for."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from caravan_schemas.base import Schema, string_or_array
from caravan_schemas.common import ModelFields


def _whole(value: object) -> object:
    """Some clients write every number with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int | None, BeforeValidator(_whole)]
_Stop = Annotated[
    str | list[str],
    string_or_array("stop_kind", "strings"),
]


def _same(name: str) -> str:
    return f"The decoding parameter `{name}`, with its range and its default."


def _machine(what: str) -> str:
    return f"{what}: the operator's choice. It has no effect, and is reported."


class DecodingOptions(Schema):
    """Options that steer decoding. What holds where they say nothing is the server's, not Ollama's."""

    num_predict: Whole = Field(
        default=None,
        description="The most tokens of the answer. -1 and -2 are as many as the context has room for, which "
        "is also the default. 0 is refused.",
    )
    temperature: float | None = Field(default=None, description=_same("temperature"))
    top_k: Whole = Field(default=None, description=_same("top_k"))
    top_p: float | None = Field(default=None, description=_same("top_p"))
    min_p: float | None = Field(default=None, description=_same("min_p"))
    typical_p: float | None = Field(default=None, description=_same("typical_p"))
    repeat_last_n: Whole = Field(default=None, description=_same("repeat_last_n"))
    repeat_penalty: float | None = Field(default=None, description=_same("repeat_penalty"))
    presence_penalty: float | None = Field(default=None, description=_same("presence_penalty"))
    frequency_penalty: float | None = Field(default=None, description=_same("frequency_penalty"))
    mirostat: Whole = Field(default=None, description=_same("mirostat"))
    mirostat_tau: float | None = Field(default=None, description=_same("mirostat_tau"))
    mirostat_eta: float | None = Field(default=None, description=_same("mirostat_eta"))
    seed: Whole = Field(default=None, description=_same("seed"))
    stop: _Stop | None = Field(default=None, description=_same("stop"))
    tfs_z: float | None = Field(
        default=None, description="Tail-free sampling, which llama.cpp has dropped: only 1, which is off."
    )
    penalize_newline: bool | None = Field(
        default=None,
        description="Whether new lines are penalised like all tokens, as they are: only true.",
    )


class OllamaOptions(DecodingOptions):
    """All options. Those of the machine and of loading are the operator's, not a request's."""

    num_ctx: Whole = Field(default=None, description=_machine("The length of the context"))
    num_keep: Whole = Field(
        default=None,
        description="What stays where a full context is shifted. Nothing is shifted here, so that it has no "
        "effect, and is reported.",
    )
    num_batch: Whole = Field(default=None, description=_machine("How many tokens are computed at once"))
    num_thread: Whole = Field(default=None, description=_machine("How many threads compute"))
    num_gpu: Whole = Field(default=None, description=_machine("How many layers are on GPUs"))
    main_gpu: Whole = Field(default=None, description=_machine("Which GPU comes first"))
    num_gqa: Whole = Field(default=None, description=_machine("Heads of old files"))
    draft_num_predict: Whole = Field(default=None, description=_machine("How far a draft model guesses"))
    numa: bool | None = Field(default=None, description=_machine("Memory near its cores"))
    low_vram: bool | None = Field(default=None, description=_machine("Saving a GPU's memory"))
    f16_kv: bool | None = Field(default=None, description=_machine("The precision of the KV cache"))
    logits_all: bool | None = Field(default=None, description=_machine("Logits of all tokens"))
    vocab_only: bool | None = Field(default=None, description=_machine("Loading no weights"))
    use_mmap: bool | None = Field(default=None, description=_machine("Mapping the file"))
    use_mlock: bool | None = Field(default=None, description=_machine("Locking the weights in memory"))
    embedding_only: bool | None = Field(default=None, description=_machine("Loading for embeddings alone"))


# Those that pass and change nothing.
WITHOUT_EFFECT = tuple(
    name for name in OllamaOptions.model_fields if name not in DecodingOptions.model_fields
)


class OllamaFields(ModelFields):
    """What all requests of Ollama's API about a model have."""

    options: OllamaOptions | None = Field(
        default=None, description="Decoding parameters, and what Ollama lets a request say about loading."
    )


Done = Literal["stop", "length", "load", "unload"]
