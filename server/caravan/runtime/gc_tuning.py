"""How often Python looks for garbage in cycles. Most of what requests leave behind goes without that."""

import gc

# Net allocations until the youngest are looked through, and how many such passes until the older ones are. By
# Python's own numbers (700, 10, 10) a short streamed answer takes a ninth more of the processor.
_THRESHOLDS = (20_000, 20, 20)


def look_rarely() -> None:
    """For processes that serve; the earlier, the less is looked through while modules are imported."""
    gc.set_threshold(*_THRESHOLDS)


def keep() -> None:
    """Never look again through what there is by now: modules, schemas, vocabularies.

    What garbage is among it stays as well: some hundred objects, for which to look takes 50 ms.
    """
    gc.freeze()
