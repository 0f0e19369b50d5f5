"""The options of one model: those that the whole server can set for all, and those that are a model's own."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from caravan.config.llama_options import LlamaOptions
from caravan.config.option_types import Place, Workers, items
from caravan.config.paths import file_path

MAX_SEQUENCES = 256
# Rows of logits that the engine keeps beside one for each sequence.
MAX_SPECULATIVE = 64
# Options that were renamed. The old names still work, and no help shows them.
OLD_NAMES = {
    "kv_cells": "kv_cache_tokens",
    "kv_parked": "host_cache_tokens",
    "keep_alive_seconds": "sse_ping_seconds",
}

# The home directory may be written `~` in files and variables, where no shell expands it.
FilePath = Annotated[Path, AfterValidator(file_path)]


class ModelOptions(LlamaOptions):
    """Options that hold for every model of the server unless a model has its own."""

    context_size: int = Field(
        default=0,
        ge=0,
        le=2**27,
        description="Most tokens of a prompt and its answer together. 0: what the model was trained with, up "
        "to 8192, or what --kv-cache-tokens allows; less where memory is short.",
    )
    kv_cache_tokens: int = Field(
        default=0,
        ge=0,
        le=2**30,
        description="Size of the KV cache, in tokens; all requests share it. 0: 8192, or the context size if "
        "that is more; less where memory is short.",
    )
    host_cache_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Size of the host cache, in tokens. Conversations that pause are moved there when the KV "
        "cache is full, and back for their next turn. 0: none. Default: as many as the KV cache has, in at "
        "most half of the memory that is left; 0 with a GPU.",
    )
    checkpoint_bytes: ByteSize | None = Field(
        default=None,
        ge=0,
        description="Most memory for checkpoints, such as 512MiB: what models with recurrent layers or "
        "sliding windows need to go on from a place in a text. 0: none. Default: four for each of "
        "--max-sequences, in at most half of the memory that is left, and that windows spare. Other "
        "models need none.",
        examples=["512MiB"],
    )
    batch_size: PositiveInt = Field(
        default=512,
        description="Most tokens that the engine computes in one step, for all requests together.",
    )
    max_sequences: int = Field(
        default=0,
        ge=0,
        le=MAX_SEQUENCES,
        description="Most sequences in memory, running and idle together. 0: twice --max-running, or fewer "
        "where they would take over a quarter of the memory that the weights leave.",
    )
    max_running: int = Field(
        default=0,
        ge=0,
        le=MAX_SEQUENCES,
        description="Most sequences that are computed at the same time; each choice of a request is one. "
        "0: 16 for each core, from 16 to 64; 64 with a GPU that holds half of the weights.",
    )
    max_waiting: int = Field(
        default=1024,
        ge=0,
        description="Most choices that may wait for a model. When there are more, the newest one of the key "
        "that has the most waiting gets a 503.",
    )
    queue_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How long a request may wait for its turn before it gets a 503. 0: no limit.",
    )
    idle_unload: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds without a request after which a model is unloaded; its next request loads it "
        "again. Pinned models stay. 0: never.",
    )
    threads: int = Field(
        default=0, ge=0, le=512, description="Threads that compute. 0: one for each usable core."
    )
    adaptive_threads: bool = Field(
        default=True,
        description="Compute with fewer than --threads where steps are quicker so: beside other work on the "
        "machine, or where memory is the limit. Answers stay the same. Only on processors, and not with "
        "--threads-batch. --no-adaptive-threads always takes all.",
    )
    sampling_threads: PositiveInt = Field(
        default=1,
        description="Threads that sample tokens. More than one helps where cores are idle at that time.",
    )
    gpu_layers: int = Field(
        default=-1,
        ge=-1,
        description="Layers of the model on GPUs; the output layer counts as one. -1: as many as fit into "
        "their free memory.",
    )
    speculative: int = Field(
        default=16,
        ge=0,
        le=MAX_SPECULATIVE,
        description="Most tokens of an answer that are guessed ahead and computed in one step, where that "
        "has been quicker. Guesses come from the prediction of the request, and from what stands in prompt "
        "and answer. They never change a text. 0: none.",
    )
    rpc: Workers = Field(
        default=[],
        description="Workers on other machines that take layers of the model, as host:port with commas "
        "between; see `caravan rpc-worker`. Only for networks that are trusted.",
    )
    tool_format: str | None = Field(
        default=None,
        description="How the model writes tool calls, such as hermes. Default: what its chat template shows.",
    )

    def contradiction(self) -> str | None:
        """Why two of these options cannot both hold, in one line; None where they can."""
        if 0 < self.kv_cache_tokens < self.context_size:
            return (
                f"context_size {self.context_size} is more than kv_cache_tokens {self.kv_cache_tokens}: "
                "a prompt and its answer have to fit into the KV cache"
            )
        if 0 < self.max_sequences < self.max_running:
            return (
                f"max_running {self.max_running} is more than max_sequences {self.max_sequences}: "
                "sequences that run are in memory"
            )
        if self.batch_size < self.max_running:
            return (
                f"max_running {self.max_running} is more than batch_size {self.batch_size}: "
                "each sequence that runs needs a token of each step"
            )
        return self.llama_contradiction()


class ModelSettings(ModelOptions):
    """A `[[models]]` table of the settings file. What it leaves out of `ModelOptions` is the server's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="GGUF file, or the name under which `caravan pull` stored one.")
    id: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x20\x7f]+$")] | None = Field(
        default=None, description="Name that requests use. Default: the file's name, or the stored name."
    )
    aliases: list[Annotated[str, Field(min_length=1)]] = Field(default=[], description="Further names.")
    chat_template: FilePath | None = Field(
        default=None, description="File with a Jinja chat template that replaces the model's own."
    )
    draft_model: Place | None = Field(
        default=None,
        description="Small model of the same tokens that guesses for this one: a GGUF file, or a "
        "pulled name.",
    )
    mmproj: Place | None = Field(
        default=None,
        description="Projector, a GGUF file that has the model see or hear; none: it shall not. Default: one "
        "beside the model whose name begins with mmproj.",
    )
    defaults: dict[str, Any] = Field(
        default={}, description="Decoding values where a request says nothing; they beat the server's."
    )
    preload: bool = Field(
        default=False, description="Load it when the server starts, instead of at the first request."
    )
    pinned: bool = Field(default=False, description="Load it at the start and never unload it for others.")

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, table: Any) -> Any:  # noqa: ANN401 (whatever a file has here)
        """Options by their names of today."""
        if not isinstance(table, dict):
            return table
        for old, name in OLD_NAMES.items():
            if old in table and name in table:
                raise ValueError(f"'{old}' is the old name of '{name}': leave it out")
        return {OLD_NAMES.get(name, name): value for name, value in table.items()}

    def completed(self, server: ModelOptions) -> "ModelSettings":
        """With the server's value for each option that this table leaves out."""
        shared = {
            name: getattr(server, name)
            for name in ModelOptions.model_fields
            if name not in self.model_fields_set
        }
        return self.model_copy(update=shared)


ModelTables = Annotated[list[ModelSettings], BeforeValidator(items)]
