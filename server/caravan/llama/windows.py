"""How many cells layers have that keep no more than a sliding window; arithmetic only."""

# llama.cpp rounds up to a multiple of this.
_PADDING = 256
# So many windows there are at least, besides a batch.
_LEAST_WINDOWS = 2


def window_cells(
    window: int, num_cells: int, max_sequences: int, batch_size: int, *, can_choose: bool
) -> int:
    """Count the cells of such a layer; 0 where it has all `num_cells`.

    The window of each sequence, and room for a batch, is what llama.cpp keeps. If it can be told, half of
    the cells are enough: texts of two windows and more find as much room there as in the other layers.
    """
    count = _padded(window * max_sequences + batch_size)
    if can_choose:
        count = min(count, _padded(max(num_cells // 2, window * _LEAST_WINDOWS + batch_size)))
    return count if count < num_cells else 0


def _padded(count: int) -> int:
    return -(-count // _PADDING) * _PADDING
