"""How often Python collects cycles of garbage. Most of what requests leave behind is freed without that."""

import gc

# Net allocations until the youngest are looked through, and how many such passes until the older ones are. By
# Python's own numbers (700, 10, 10) a short streamed answer takes a ninth more of the processor.
_THRESHOLDS = (20_000, 20, 20)


def look_rarely() -> None:
    """Collect rarely, in processes that serve. To be called early, before modules are imported."""
    gc.set_threshold(*_THRESHOLDS)


def keep() -> None:
    """Keep what there is by now out of all collections: modules, schemas, vocabularies.

    What garbage is among it stays as well: some hundred objects, for which to look takes 50 ms.
    """
    gc.freeze()
