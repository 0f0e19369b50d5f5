"""What an engine is told at birth."""

import msgspec

from caravan.config.llama_config import PLAIN_CONTEXT, PLAIN_WEIGHTS, ContextOptions, WeightOptions


class DiskCacheConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where prefixes are kept on the disk, those of all models in `max_bytes` together.

    With `keeps_private`, also those that not everybody may share.
    """

    folder: str
    max_bytes: int
    keeps_private: bool = False


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and limits of one engine. Counts are tokens unless a name says otherwise.

    `context_size` is the longest that one sequence may become, prompt and answer together; 0 takes the
    model's training length, at most DEFAULT_CONTEXT_LIMIT. `num_cells` is the KV memory of all sequences
    together; 0 takes DEFAULT_NUM_CELLS, or `context_size` if that is more. `num_host_cache_tokens` bounds
    idle sequences kept outside of the cells, which takes as much memory a token; None means `num_cells`.
    `checkpoint_bytes` bounds what is kept of places in texts where memory cannot be cut back to them; None
    leaves it to `caravan.sizing.sizes`, as it does how many cells the layers have that have a window
    (`num_window_cells`; 0 is as many as the others).
    `max_sequences` bounds the sequences known to llama.cpp, running and idle together (at most
    MAX_SEQUENCES), and `max_running` those that run; 0 leaves them to `caravan.sizing.sizes`.
    `max_waiting` bounds the choices that wait beyond `max_running`, and `queue_seconds` how long each may;
    0 is no bound.
    `step_seconds` is the pace kept for streams that are already running: a prompt is cut so that one step
    takes about that long. `num_scored_rows` bounds the rows of logits that a step computes for the sake of
    prompts' log probabilities; llama.cpp keeps room for each. Steps of answers alone use them for drafts, of
    at most `max_drafted` tokens for each sequence; 0 drafts nothing. `num_threads` 0 means one per usable
    core; with `adapts_threads`, steps take fewer where that is quicker.
    `num_sampling_threads` draw the rows of a step.
    `num_gpu_layers` counts the output as one; -1 means as many as GPUs have room for. `rpc_workers` are the
    addresses of others on other machines, `host:port`, filled before GPUs of this one. `memory_budget` is
    how many bytes the engine may plan with, those of GPUs included; 0 is what is free.
    `draft_model_path` names a model that guesses, with as many cells; empty, there is none. The
    projector of `projector_path` is in a process of its own, whose memory counts here unless that
    `is_encoder_elsewhere`, on another machine perhaps. Without a `disk_cache`, nothing is kept on the disk.
    `weights` and `context` are llama.cpp's own options. `adapters` are names and files of LoRA adapters; of
    those that were added since the start, `added_adapters`, an engine leaves out what it cannot load.
    """

    model_path: str
    draft_model_path: str = ""
    projector_path: str = ""
    is_encoder_elsewhere: bool = False
    context_size: int = 0
    num_cells: int = 0
    num_host_cache_tokens: int | None = None
    checkpoint_bytes: int | None = None
    num_window_cells: int = 0
    batch_size: int = 512
    max_sequences: int = 0
    max_running: int = 0
    max_waiting: int = 1024
    queue_seconds: float = 0.0
    num_scored_rows: int = 64
    max_drafted: int = 0
    step_seconds: float = 0.2
    num_threads: int = 0
    adapts_threads: bool = False
    num_sampling_threads: int = 1
    num_gpu_layers: int = -1
    memory_budget: int = 0
    use_extra_buffers: bool = True
    rpc_workers: tuple[str, ...] = ()
    disk_cache: DiskCacheConfig | None = None
    adapters: tuple[tuple[str, str], ...] = ()
    added_adapters: tuple[tuple[str, str], ...] = ()
    weights: WeightOptions = PLAIN_WEIGHTS
    context: ContextOptions = PLAIN_CONTEXT

    @property
    def has_projector(self) -> bool:
        """Whether requests may have images in the places of tokens."""
        return bool(self.projector_path)

    @property
    def num_spare_rows(self) -> int:
        """Rows of logits that a step may hand out beyond one for each sequence."""
        return max(0, self.max_running + self.num_scored_rows - self.max_sequences)

    @property
    def num_rows(self) -> int:
        """Rows of logits that a step may hand out."""
        rows = self.max_sequences + self.num_spare_rows
        return min(rows, max(self.batch_size, self.max_sequences))


# `llama_max_parallel_sequences`, which the command line does not load llama.cpp for.
MAX_SEQUENCES = 256
DEFAULT_CONTEXT_LIMIT = 8192
# How long an engine that is to end may go on to write prefixes to the disk.
DISK_CLOSE_SECONDS = 10.0
# What it reads from there ahead, and what may wait to be written.
DISK_AHEAD_BYTES = 128 << 20
DISK_PENDING_BYTES = 64 << 20
DEFAULT_NUM_CELLS = 8192
# What proves a build has rows for every way in which kernels take them: AMX by 32 and a rest, attention by 64
# and a rest.
FIRST_TOKENS = 100


def settled_lengths(context_size: int, num_cells: int, training_context: int) -> tuple[int, int]:
    """Context size and number of cells with those filled in that were left open (0)."""
    trained = training_context or DEFAULT_CONTEXT_LIMIT
    context_size = context_size or min(trained, DEFAULT_CONTEXT_LIMIT, num_cells or DEFAULT_CONTEXT_LIMIT)
    return context_size, max(num_cells or DEFAULT_NUM_CELLS, context_size)
