"""How many cells llama.cpp gives layers that keep no more than a sliding window; arithmetic only."""

# It rounds up to a multiple of this.
_PADDING = 256


def window_cells(window: int, max_sequences: int, batch_size: int) -> int:
    """Count the cells of such a layer: the window of each sequence, and room for a batch."""
    return -(-(window * max_sequences + batch_size) // _PADDING) * _PADDING
