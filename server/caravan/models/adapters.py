"""Adapters that come and go while a server runs: counted as memory, and gone only when nobody uses them."""

import asyncio
import logging
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.errors import EngineUnavailableError, InvalidValueError, ModelNotFoundError, NotServedError
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec
from caravan.models.slot import Lease, ModelSlot
from caravan.runtime.threads import in_thread

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1


class Adapters:
    """Changes the adapters of models, one after the other, and who is found `by_name`. Belongs to the
    registry's event loop.
    """

    def __init__(self, by_name: dict[str, ModelSlot], memory_budget: int) -> None:
        self._by_name = by_name
        self._memory_budget = memory_budget
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    async def add(self, slot: ModelSlot, loaded: LoadedModel, name: str, path: Path) -> None:
        """Load an adapter into a model that somebody holds; it comes back with every later load.

        Raises InvalidRequestError and NotServedError.
        """
        async with self._turn:
            if name in self._by_name:
                raise InvalidValueError("name", "is that of a model or an adapter already")
            if name in self._leaving:
                raise InvalidValueError("name", "is that of an adapter that is removed and still used")
            spec = slot.spec
            if spec.adapted is None or not isinstance(loaded.engine, AsyncEngine):
                raise NotServedError("Engines of this server take no adapters while they run.")
            # Made first: where that fails, the engine has no adapter that nobody can name.
            changed = await in_thread(spec.adapted, {**spec.adapter_files, name: path})
            size = await in_thread(_size_of, path)
            self._check_room(size)
            await loaded.engine.adapters.add(name, os.fspath(path))
            _use(slot, changed, size)
            self._by_name[name] = slot

    def _check_room(self, size: int) -> None:
        """Raise InvalidValueError where the budget has too little left for so many bytes more."""
        taken = sum(slot.need.total for slot in {*self._by_name.values()} if slot.holds_room)
        left = max(0, self._memory_budget - taken)
        if self._memory_budget and size > left:
            needs = f"needs {size / 1048576:.1f} MiB of memory"
            raise InvalidValueError("path", f"{needs}, and --memory-budget leaves {left / 1048576:.1f}")

    async def remove(self, slot: ModelSlot, name: str) -> asyncio.Task[None] | None:
        """Have requests name an adapter no longer. Where the model is loaded, the task ends when those that
        run have ended and its memory is free. Raises ModelNotFoundError and NotServedError.
        """
        while True:
            # Not in turn: a load may wait for room, and has nothing to do with adapters of other models.
            if slot.loading is not None:
                await asyncio.wait([slot.loading])
            async with self._turn:
                spec = slot.spec
                if name not in spec.adapter_files:
                    raise ModelNotFoundError(f"'{spec.id}' has no adapter '{name[:200]}'.", param="name")
                if spec.adapted is None or not (
                    slot.model is None or isinstance(slot.model.engine, AsyncEngine)
                ):
                    raise NotServedError("Engines of this server let no adapters go while they run.")
                left = {known: path for known, path in spec.adapter_files.items() if known != name}
                changed = await in_thread(spec.adapted, left)
                size = await in_thread(_size_of, spec.adapter_files[name])
                if slot.loading is None:
                    return self._let_go(slot, name, changed, size)

    def _let_go(self, slot: ModelSlot, name: str, spec: ModelSpec, size: int) -> asyncio.Task[None] | None:
        _use(slot, spec, 0)
        del self._by_name[name]
        if slot.model is None:
            return None
        going = self._go(slot, slot.model, set(slot.leases), name, size)
        self._leaving[name] = task = asyncio.create_task(going, name=f"remove {name}")
        return task

    def close(self) -> Collection[asyncio.Task[None]]:
        """Give up what is not done yet; what is to be waited for."""
        for task in self._leaving.values():
            task.cancel()
        return list(self._leaving.values())

    async def _go(self, slot: ModelSlot, model: LoadedModel, users: set[Lease], name: str, size: int) -> None:
        """Wait for `users`, who may name the adapter, and have the engine forget it."""
        try:
            while users & slot.leases:
                await asyncio.sleep(_LOOK_SECONDS)
            assert isinstance(model.engine, AsyncEngine)
            while slot.model is not None and slot.model.engine is model.engine:
                try:
                    await model.engine.adapters.remove(name)
                except EngineUnavailableError:
                    # Its next process may know of the adapter.
                    await asyncio.sleep(_LOOK_SECONDS)
                else:
                    slot.add_need(-size)
                    return
        except Exception:
            log.exception("the adapter '%s' is not removed before its model is loaded again", name)
        finally:
            del self._leaving[name]


def _use(slot: ModelSlot, spec: ModelSpec, num_bytes: int) -> None:
    """Offer a model with other adapters from now on."""
    slot.spec = spec
    if slot.model is not None:
        slot.model = replace(slot.model, adapters=spec.adapters, variants={})
    slot.add_need(num_bytes)


def _size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none, which the engine tells."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
