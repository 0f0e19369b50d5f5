"""All models by name: loaded when they are asked for, held while they are used, unloaded for others."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

from caravan.auth.principal import Principal
from caravan.errors import ModelUnavailableError
from caravan.models.adapters import Adapters
from caravan.models.eviction import STAY_SECONDS, Clock, Evictions, Limits, check_together
from caravan.models.keeping import keep
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec, load
from caravan.models.refusals import RETRY_SECONDS, closing, unknown, unnamed, usable_names
from caravan.models.slot import Lease, ModelSlot, Status, Users
from caravan.runtime.threads import in_thread

log = logging.getLogger(__name__)

LOAD_WAIT_SECONDS = 120.0
# How often it is looked whether a model may be unloaded that others use.
_LOOK_SECONDS = 0.2


class ModelRegistry:
    """All served models. Its methods belong to one event loop.

    A model that is to go takes no new request, and goes when its last one has ended: no stream is cut. Who
    asks for it meanwhile waits for it to be loaded again. A key that has lately had others' models unloaded
    waits until theirs have not been used for `stay_seconds`.
    """

    def __init__(
        self,
        specs: Iterable[ModelSpec],
        limits: Limits | None = None,
        *,
        load_wait_seconds: float = LOAD_WAIT_SECONDS,
        stay_seconds: float = STAY_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        self._slots = [ModelSlot(spec, Users(stay_seconds, clock), clock) for spec in specs]
        self._by_name = {name: slot for slot in self._slots for name in (*slot.names, *slot.spec.adapters)}
        self._limits = limits or Limits()
        self._evictions = Evictions(self._limits, stay_seconds=stay_seconds, clock=clock)
        self._load_wait_seconds = load_wait_seconds
        self._room = asyncio.Lock()
        self._adapters = Adapters(self._by_name, self._limits.memory_budget)
        self._checks: list[Callable[[LoadedModel], None]] = []
        self._has_started = False
        self._is_closed = False
        self._keeping: asyncio.Task[None] | None = None

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """All models, loaded or not."""
        return tuple(slot.spec for slot in self._slots)

    def usable(self, principal: Principal) -> list[ModelSpec]:
        """All models that a caller may use."""
        return [slot.spec for slot in self._slots if principal.may_use(*slot.names)]

    @property
    def is_ready(self) -> bool:
        """Whether the models to be preloaded have been, and every loaded one would take a request now."""
        loaded = [slot.model for slot in self._slots if slot.model and slot.can_be_used]
        missing = any(slot.spec.preload and slot.status is Status.FAILED for slot in self._slots)
        are_up = self._has_started and not self._is_closed and not missing
        return are_up and all(model.engine.is_ready for model in loaded)

    def add_check(self, check: Callable[[LoadedModel], None]) -> None:
        """Let every model pass `check`, in a thread, before it is used; what it raises fails the load."""
        self._checks.append(check)

    def find(self, name: str, principal: Principal) -> ModelSpec:
        """The model that `name` stands for, loaded or not; raises ModelNotFoundError, also over one that the
        caller may not use.
        """
        return self._find(name, principal).spec

    def name_of(self, name: str, principal: Principal) -> str:
        """Return the name of the model that a request means, which may leave it out.

        Raises InvalidRequestError where it is left out and several are served, or none.
        """
        if name:
            return name
        usable = [spec.id for spec in self.usable(principal)] or usable_names(self.specs, principal)
        if len(usable) != 1:
            raise unnamed(usable, principal)
        return usable[0]

    def status(self, name: str) -> Status:
        """Where a model stands, by a name that has been found."""
        return self._by_name[name].status

    def seconds_left(self, name: str) -> float:
        """How long a loaded model stays if nobody uses it; infinite until others need its memory."""
        return self._by_name[name].seconds_left

    def loaded(self, name: str) -> LoadedModel | None:
        """The model if it is loaded, by a name that has been found. Only a lease keeps it."""
        return self._by_name[name].model

    async def check_start(self) -> None:
        """Raise what `start` would, if it is known without loading: NoRoomError, HeaderError, OSError."""
        for slot in await self._preloaded():
            await in_thread(slot.spec.check_file)

    async def start(self) -> None:
        """Load what is to be preloaded; raises what the first failure raised."""
        outcomes = await asyncio.gather(*(self._loading(slot) for slot in await self._preloaded()))
        failures = [failure for failure in outcomes if failure is not None]
        if failures:
            raise failures[0]
        self._has_started = True
        self._keeping = asyncio.create_task(
            keep(self._slots, self._loading, self._unloading), name="registry"
        )

    async def acquire(
        self, name: str, principal: Principal, *, is_patient: bool = False, stay: float | None = None
    ) -> Lease:
        """Hold the model that `name` stands for, loading it first if need be; `Lease.release` must follow.

        The model may be unloaded `stay` seconds after that; below 0 is never, and without a number it is as
        the operator says.
        Raises ModelNotFoundError, and ModelUnavailableError when the load fails or takes too long, which is
        nothing to the patient.
        """
        lease = await self._held(self._find(name, principal), principal.id, is_patient=is_patient)
        lease.model, lease.stay = lease.model.with_adapter(name), stay
        return lease

    async def _held(self, slot: ModelSlot, key: str, *, is_patient: bool) -> Lease:
        if slot.can_be_used:
            return slot.lease(key)
        if self._is_closed:
            raise closing()
        if slot.loading is None and slot.seconds_to_retry:
            raise slot.failure()
        self._loading(slot)
        place = slot.wait(key)
        try:
            await asyncio.wait([place], timeout=None if is_patient else self._load_wait_seconds)
        except asyncio.CancelledError:
            slot.leave(place)
            raise
        if not place.done():
            slot.leave(place)
            raise ModelUnavailableError(
                f"The model '{slot.spec.id}' is still loading.", retry_after=RETRY_SECONDS
            )
        return place.result()

    @contextlib.asynccontextmanager
    async def holding(
        self, name: str, principal: Principal, stay: float | None = None
    ) -> AsyncGenerator[LoadedModel, None]:
        """`acquire` and `release` around a block."""
        lease = await self.acquire(name, principal, stay=stay)
        try:
            yield lease.model
        finally:
            lease.release()

    async def add_adapter(self, model: str, name: str, path: Path, principal: Principal) -> None:
        """Let requests name an adapter of a model from now on, until the server ends; loads the model if need
        be. Raises InvalidRequestError over a name that is taken, or a file that is no adapter of the model.
        """
        slot = self._find(model, principal)
        async with self.holding(slot.spec.id, principal) as loaded:
            await self._adapters.add(slot, loaded, name, path)

    async def remove_adapter(self, model: str, name: str, principal: Principal) -> None:
        """Let requests name an adapter no longer, and free its memory once those that run have ended; returns
        then, or after `load_wait_seconds`. Raises ModelNotFoundError.
        """
        if (going := await self._adapters.remove(self._find(model, principal), name)) is not None:
            await asyncio.wait([going], timeout=self._load_wait_seconds)

    async def unload(self, name: str, principal: Principal) -> None:
        """Unload a model once its requests have ended; returns then, or after `load_wait_seconds`."""
        slot = self._find(name, principal)
        if slot.holds_room:
            await asyncio.wait([self._unloading(slot)], timeout=self._load_wait_seconds)

    async def close(self) -> None:
        """End all engines, whoever uses them."""
        self._is_closed = True
        tasks = [task for slot in self._slots for task in (slot.loading, slot.unloading) if task]
        tasks += [*self._adapters.close(), *([self._keeping] if self._keeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for slot in self._slots:
            slot.refuse(closing())
        await asyncio.gather(*(self._end(slot) for slot in self._slots))

    async def _preloaded(self) -> list[ModelSlot]:
        """Those to be loaded at the start. Raises NoRoomError where the limits do not allow them all."""
        slots = [slot for slot in self._slots if slot.spec.preload]
        await asyncio.gather(*(self._estimate(slot) for slot in slots))
        check_together(self._limits, [slot.need for slot in slots])
        return slots

    def _find(self, name: str, principal: Principal) -> ModelSlot:
        slot = self._by_name.get(name)
        if slot is None or not principal.may_use(*slot.names, name):
            raise unknown(name, self.specs, principal)
        return slot

    def _loading(self, slot: ModelSlot) -> asyncio.Task[Exception | None]:
        if slot.loading is None:
            slot.loading = asyncio.create_task(self._load(slot), name=f"load {slot.spec.id}")
        return slot.loading

    async def _load(self, slot: ModelSlot) -> Exception | None:
        """Load a model and hand it to those who wait; a failure goes to them, and is returned."""
        try:
            if slot.unloading is not None:
                await asyncio.wait([slot.unloading])
            await self._estimate(slot)
            if not await self._take_room(slot):
                return None
            model = await load(slot.spec, self._checks)
            slot.need = model.engine.need
            slot.succeed(model)
        except Exception as error:
            if self._has_started:  # before that, the caller of `start` is told
                log.error("the model '%s' could not be loaded: %s", slot.spec.id, error)
            slot.holds_room = False
            slot.fail()
            return error
        except BaseException:
            slot.holds_room = False
            raise
        finally:
            slot.loading, slot.asked_by = None, []
        return None

    async def _estimate(self, slot: ModelSlot) -> None:
        """Find out what a model needs, where it could matter to another."""
        if len(self._slots) > 1:
            slot.need = await in_thread(slot.spec.estimate_need)

    async def _take_room(self, slot: ModelSlot) -> bool:
        """Hold room for `slot`, waiting where others' models may not be unloaded for those who have asked;
        False where nobody wants it any more. Raises NoRoomError.
        """
        while True:
            async with self._room:
                slot.holds_room = await self._make_room(slot)
            if slot.holds_room or not slot.is_wanted:
                return slot.holds_room
            await asyncio.sleep(_LOOK_SECONDS)

    async def _make_room(self, slot: ModelSlot) -> bool:
        """Unload others until the limits allow `slot`; their requests end first. False where none may go."""
        while True:
            holders = {known.spec.id: known for known in self._slots if known.holds_room}
            loaded = [holder.entry() for holder in holders.values()]
            leaving = self._evictions.choose(loaded, slot.need, slot.asked_by)
            if not leaving:
                return leaving is not None
            await asyncio.wait([self._unloading(holders[name]) for name in leaving])

    def _unloading(self, slot: ModelSlot) -> asyncio.Task[None]:
        if slot.unloading is None:
            unload = self._unload(slot, slot.loading)
            slot.unloading = asyncio.create_task(unload, name=f"unload {slot.spec.id}")
        return slot.unloading

    async def _unload(self, slot: ModelSlot, loading: asyncio.Task[Exception | None] | None) -> None:
        """End a model once nobody uses it. `loading` is the load that came before this, not one after it."""
        try:
            if loading is not None:
                await asyncio.wait([loading])
            await slot.idle.wait()
            await self._end(slot)
        finally:
            slot.holds_room = False
            slot.unloading = None

    async def _end(self, slot: ModelSlot) -> None:
        """Close a model's engine, and its vocabulary too unless somebody holds it."""
        if slot.model is not None:
            model = slot.model
            await model.engine.close()
            if model.encoder is not None:
                await model.encoder.close()
            if slot.num_users == 0 and slot.model is not None:
                slot.model = None
                await in_thread(model.close)
