"""What an engine is told at birth."""

import msgspec


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and limits of one engine. Counts are tokens unless a name says otherwise.

    `context_size` is both the KV cells of the whole engine and the longest a single sequence may become;
    0 takes the model's training length. `max_sequences` bounds the sequences known to llama.cpp, running and
    idle together (at most 256). `step_seconds` is the pace kept for streams that are already running: a
    prompt is cut so that one step takes about that long. `num_threads` 0 means one per usable core.
    """

    model_path: str
    context_size: int = 0
    batch_size: int = 512
    max_sequences: int = 64
    max_running: int = 32
    step_seconds: float = 0.1
    num_threads: int = 0
    num_gpu_layers: int = -1
    use_extra_buffers: bool = True
