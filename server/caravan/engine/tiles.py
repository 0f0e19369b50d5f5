"""Rows of a batch as llama.cpp's attention takes them on a processor: from TILE rows on in tiles of so many,
fewer one by one.

A tile looks at the cells of every sequence that has a row in it, with all of its rows. So a tile should
belong to one prompt, and where many cells are in use, rows that are no full tile cost more than one.
"""

TILE = 64
# With no more cells than this to look at, rows one by one are quick.
_FEW_CELLS = 2 * TILE


def chunk_size(num_missing: int, num_computed: int, budget: int, *, may_exceed: bool) -> int:
    """How many of a prompt's missing tokens to compute next, so that whole tiles are left for later.

    The odd ones go first, or beside a tile where there are many cells already, which takes up to a tile more
    than the budget if it `may_exceed` that.
    """
    if num_missing <= budget or budget < TILE:
        return min(num_missing, max(budget, 0))
    size = budget - (budget - num_missing) % TILE
    if size < TILE and num_computed > _FEW_CELLS and may_exceed:
        return size + TILE
    return size or budget
