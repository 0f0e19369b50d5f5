"""Whether ids and cells of a cache add up."""

from collections.abc import Iterable

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.radix_tree import RadixTree


def faults_of(
    tree: RadixTree, held: Iterable[int], free: Iterable[int], context: DecodingContext
) -> list[str]:
    """List what is wrong with the ids that are held and free, and with the cells of the tree."""
    faults = []
    held = list(held)
    known = sorted([*free, *held])
    if known != list(range(context.max_sequences)):
        faults.append(f"sequence ids in use and free are {known}")
    if tree.seq_ids != frozenset(held):
        faults.append(f"the tree holds {sorted(tree.seq_ids)}")
    if not 0 <= tree.num_cells <= context.num_cells:
        faults.append(f"{tree.num_cells} cells used of {context.num_cells}")
    return faults
