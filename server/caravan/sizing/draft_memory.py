"""How much memory the draft model of an engine will need."""

import functools
import os

from caravan.config.engine_config import EngineConfig
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.sizing.memory_estimate import bytes_of_draft_model


def draft_bytes(config: EngineConfig) -> int:
    """Bytes of the draft model, with as many cells as the model has; 0 without one. Raises HeaderError or
    OSError.
    """
    path = config.draft_model_path
    if not path:
        return 0
    return bytes_of_draft_model(
        _header(path, os.stat(path).st_mtime_ns),
        num_cells=config.num_cells,
        max_sequences=config.max_running,
        batch_size=config.batch_size,
    )


@functools.lru_cache(4)
def _header(path: str, _changed: int) -> GgufHeader:
    """Sizes are settled on in several tries, and a header takes a moment to read."""
    return read_header(path)
