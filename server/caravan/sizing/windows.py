"""Layers with a sliding window: which of a model they are, and how many cells they need."""

from caravan.config.engine_config import EngineConfig
from caravan.llama import library, windows
from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.kv_bytes import bytes_per_sequence, cell_bytes_of_layers, has_windows

# Of so many layers the last one attends to everything, where the file does not say otherwise
# (`load_swa_pattern` in llama.cpp's models). Of models that are not here, all cells are kept.
_PERIODS = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "cohere2": 4,
    "exaone4": 4,
    "olmo2": 4,
    "afmoe": 4,
    "plamo3": 8,
}

# What llama.cpp writes beside the content (`state_write`): a head, of a cell its position and sequence, and
# of a layer the types and sizes of its rows.
_WRITTEN, _WRITTEN_OF_CELL, _WRITTEN_OF_LAYER = 64, 24, 24


def window_layers(header: GgufHeader) -> tuple[bool, ...]:
    """Tell which layers need no cells but those in their window."""
    num_layers = header.count("block_count")
    if header.architecture not in _PERIODS or not has_windows(header) or bytes_per_sequence(header):
        return (False,) * num_layers
    given = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(given, tuple):
        flags = tuple(bool(flag) for flag in given[:num_layers])
        return flags + (False,) * (num_layers - len(flags))
    period = given if isinstance(given, int) else _PERIODS[header.architecture]
    return tuple(period == 0 or index % period < period - 1 for index in range(num_layers))


def window_cells(config: EngineConfig, header: GgufHeader) -> int:
    """Count the cells of a layer that keeps windows alone.

    0 where that is not less than all cells, or there is no room for a checkpoint that brings a window back.
    """
    size, room = window_bytes(config, header), config.checkpoint_bytes
    if not size or (room is not None and room < saved_bytes(header, size)):
        return 0
    # From a GPU every cell of a window would be copied by itself, for checkpoints.
    can_choose = library.can_choose_window_cells() and not library.has_gpu()
    sizes = config.num_cells, config.max_sequences, config.batch_size
    return windows.window_cells(header.count("attention.sliding_window"), *sizes, can_choose=can_choose)


def spared_bytes(config: EngineConfig, header: GgufHeader) -> int:
    """Tell what less is kept in cells by keeping windows alone."""
    kept = window_cells(config, header)
    window = header.count("attention.sliding_window")
    return (config.num_cells - kept) * window_bytes(config, header) // window if kept else 0


def saved_bytes(header: GgufHeader, size: int) -> int:
    """Tell how many bytes, at most, a checkpoint has that holds so many of states or windows."""
    num_cells = header.count("attention.sliding_window")
    return size + _WRITTEN + _WRITTEN_OF_CELL * num_cells + _WRITTEN_OF_LAYER * header.count("block_count")


def cells_of_layers(header: GgufHeader, num_cells: int, num_window_cells: int) -> tuple[int, ...]:
    """Tell how many cells each layer has, by what `window_cells` tells."""
    layers = window_layers(header)
    return tuple(num_window_cells or num_cells if is_window else num_cells for is_window in layers)


def window_bytes(config: EngineConfig, header: GgufHeader) -> int:
    """Tell what the windows of one sequence occupy in all layers."""
    layers = zip(window_layers(header), cell_bytes_of_layers(header, config.context), strict=True)
    return header.count("attention.sliding_window") * sum(size for is_window, size in layers if is_window)
