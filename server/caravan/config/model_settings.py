"""The options of one model: those that the whole server can set for all, and those that are a model's own."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

MAX_SEQUENCES = 256


class ModelOptions(BaseModel):
    """Options that hold for every model of the server unless a model has its own."""

    context_size: int = Field(
        default=0,
        ge=0,
        le=2**27,
        description="Most tokens of one prompt and its answer. 0: the model's training length, up to 8192, "
        "less where memory is short.",
    )
    kv_cells: int = Field(
        default=0,
        ge=0,
        le=2**30,
        description="Tokens that all sequences together may keep in memory. 0: 8192, or the context size; "
        "less where memory is short.",
    )
    kv_parked: int | None = Field(
        default=None,
        ge=0,
        description="Tokens of idle sequences kept outside of that memory, for their next turn. "
        "Default: as many as in it, in half of the memory that is left at most.",
    )
    batch_size: PositiveInt = Field(default=512, description="Most tokens that one engine step computes.")
    max_sequences: int = Field(
        default=0,
        ge=0,
        le=MAX_SEQUENCES,
        description="Sequences in memory, running and idle together. 0: twice as many as may run, "
        "fewer where their states and logits would take over a quarter of the memory beside the weights.",
    )
    max_running: int = Field(
        default=0,
        ge=0,
        le=MAX_SEQUENCES,
        description="Sequences that run at once. 0: 16 for each core, from 16 to 64; 64 with a GPU "
        "that holds half of the weights.",
    )
    max_waiting: int = Field(
        default=1024,
        ge=0,
        description="Choices that may wait for a model. Beyond, the newest of who has the most get a 503.",
    )
    queue_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How long a request may wait for its turn before it gets a 503. 0: as long as it takes.",
    )
    threads: int = Field(default=0, ge=0, le=512, description="Compute threads. 0: one per usable core.")
    sampling_threads: PositiveInt = Field(
        default=1, description="Threads that draw the tokens of a step. More pay where cores are idle then."
    )
    gpu_layers: int = Field(
        default=-1,
        ge=-1,
        description="Layers to put on GPUs; the output counts as one. -1: all that their free memory holds.",
    )
    tool_format: str | None = Field(
        default=None,
        description="How the model writes tool calls, such as hermes. Default: what its chat template tells.",
    )


class ModelSettings(ModelOptions):
    """A `[[models]]` table of the settings file. What it leaves out of `ModelOptions` is the server's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="GGUF file, or the name under which `caravan pull` stored one.")
    id: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x20\x7f]+$")] | None = Field(
        default=None, description="Name that requests use. Default: the file's name, or the stored name."
    )
    aliases: list[Annotated[str, Field(min_length=1)]] = Field(default=[], description="Further names.")
    chat_template: Path | None = Field(
        default=None, description="File with a Jinja chat template that replaces the model's own."
    )
    defaults: dict[str, Any] = Field(
        default={}, description="Decoding values where a request says nothing; they beat the server's."
    )
    preload: bool = Field(
        default=False, description="Load it when the server starts, instead of at the first request."
    )
    pinned: bool = Field(default=False, description="Load it at the start and never unload it for others.")

    def completed(self, server: ModelOptions) -> "ModelSettings":
        """With the server's value for each option that this table leaves out."""
        shared = {
            name: getattr(server, name)
            for name in ModelOptions.model_fields
            if name not in self.model_fields_set
        }
        return self.model_copy(update=shared)
