"""How much memory checkpoints may take: of places in texts that memory cannot be cut back to."""

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.kv_bytes import bytes_per_sequence, has_windows
from caravan.sizing.windows import saved_bytes, spared_bytes, window_bytes, window_cells

# Instructions, a branch and two turns of each sequence in memory, in at most so much of what is left, and of
# what is spared by keeping windows alone.
_FOR_EACH = 4
_SHARE = 0.5


def checkpoint_size(config: EngineConfig, header: GgufHeader) -> int:
    """Tell the bytes of one checkpoint; 0 where memory can be cut, or cannot be saved in part."""
    if not has_windows(header):
        return bytes_per_sequence(header)
    return window_bytes(config, header) if window_cells(config, header) else 0


def with_checkpoints(config: EngineConfig, header: GgufHeader, left: int) -> EngineConfig:
    """Fill in what checkpoints may take of `left` bytes, where that was left open, and what windows keep."""
    size = checkpoint_size(config, header)
    wanted = min(_FOR_EACH * config.max_sequences * size, int(max(0, left) * _SHARE))
    if has_windows(header):
        wanted = min(wanted, int(spared_bytes(config, header) * _SHARE))
    # One at least: without any, windows would have to keep everything.
    usual = max(saved_bytes(header, size), wanted)
    given = usual if config.checkpoint_bytes is None else config.checkpoint_bytes
    return msgspec.structs.replace(
        config,
        checkpoint_bytes=given if size else 0,
        num_window_cells=window_cells(config, header),
    )
