"""Masks that are worked out before they are asked, while the model computes."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from caravan.engine.interfaces import Mask


class MaskPrefetcher:
    """Works out the masks of the next step while the model computes; a thread, begun when first needed."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    def prepare(self, upcoming: Iterable[Mask | None]) -> None:
        """Begin with masks that are about to be asked."""
        masks = [mask for mask in upcoming if mask is not None]
        if not masks:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "mask prefetcher")
        begun = self._thread.submit(prepare_at_once, masks)
        for mask in masks:
            mask.wait_for(begun)

    def close(self) -> None:
        """End the thread after what it has begun."""
        if self._thread is not None:
            self._thread.shutdown()


def prepare_at_once(masks: Iterable[Mask | None]) -> None:
    """Work out masks that are about to be asked."""
    for mask in filter(None, masks):
        # What fails here fails again in the draw of that sequence, and is nothing to the others.
        with contextlib.suppress(BaseException):
            mask.prepare()
