"""Looks after models that nobody asks for: lets some go, and loads those again that have to be there."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from caravan.models.slot import ModelSlot

log = logging.getLogger(__name__)

_KEEP_SECONDS = 1.0


async def keep(
    slots: Iterable[ModelSlot], load: Callable[[ModelSlot], object], unload: Callable[[ModelSlot], object]
) -> None:
    """Have models let go that nobody uses or whose file has changed, and those loaded that have to be there;
    until it is cancelled.
    """
    while True:
        await asyncio.sleep(_KEEP_SECONDS)
        try:
            for slot in slots:
                _keep_one(slot, load, unload)
        except Exception:
            log.exception("models are not looked after; next time")


def _keep_one(
    slot: ModelSlot, load: Callable[[ModelSlot], object], unload: Callable[[ModelSlot], object]
) -> None:
    if slot.model is not None and slot.model.engine.is_outdated:
        slot.is_lost = True
        unload(slot)
    elif slot.is_stale:
        log.info("the model '%s' is unloaded: nobody has used it for a while", slot.spec.id)
        unload(slot)
    elif slot.spec.preload and slot.needs_load:
        load(slot)
