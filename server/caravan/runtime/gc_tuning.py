"""How often Python collects cycles of garbage. Most of what requests leave behind is freed without that."""

import gc
import time

# Net allocations until the youngest are looked through, and how many such passes until the older ones are. By
# Python's own numbers (700, 10, 10) a short streamed answer takes a ninth more of the processor.
_THRESHOLDS = (20_000, 20, 20)
# A pass over the older ones stops every thread, for a second where large requests have made millions of
# objects. They are no garbage, and are freed without a pass when their request ends.
_YOUNGEST_ONLY = (20_000, 1_000_000, 1_000_000)
_LONGEST_SECONDS = 300.0


def look_rarely() -> None:
    """Collect rarely, in processes that serve. To be called early, before modules are imported."""
    gc.set_threshold(*_THRESHOLDS)


def keep() -> None:
    """Keep what there is by now out of all collections: modules, schemas, vocabularies.

    What garbage is among it stays as well: some hundred objects, for which to look takes 50 ms.
    """
    gc.freeze()


class OlderSpared:
    """Leaves the older objects out of collections while much is held of large requests, in one process.

    For at most `_LONGEST_SECONDS` on end, since what else becomes garbage then stays.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def update(self, *, is_much: bool) -> None:
        """Say whether much is held."""
        if not is_much:
            if self._since is not None:
                self._since = None
                look_rarely()
        elif self._since is None:
            self._since = time.monotonic()
            gc.set_threshold(*_YOUNGEST_ONLY)
        elif time.monotonic() - self._since > _LONGEST_SECONDS:
            look_rarely()
