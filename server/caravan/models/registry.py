"""All models by name: loaded when they are asked for, held while they are used, unloaded for others."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable

from caravan.auth.principal import Principal
from caravan.errors import EngineUnavailableError, ModelNotFoundError, ModelUnavailableError
from caravan.models.eviction import STAY_SECONDS, Clock, Evictions, Limits, Users, check_together
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec, load
from caravan.models.slot import Lease, ModelSlot, Status
from caravan.runtime.threads import in_thread

log = logging.getLogger(__name__)

# Advice to clients that waited in vain; a load takes seconds to minutes.
_RETRY_SECONDS = 5
LOAD_WAIT_SECONDS = 120.0
# How often it is looked for what nobody asked for, and whether a model may be unloaded that others use.
_KEEP_SECONDS = 1.0
_LOOK_SECONDS = 0.2


def may_use(offer: ModelSpec, principal: Principal) -> bool:
    """Whether a caller may use a model."""
    return principal.may_use(offer.id, *offer.aliases)


def none_usable(principal: Principal) -> str:
    """What a caller is told for whom there is no model."""
    return (
        "This server has no models." if principal.models is None else "This key may use none of the models."
    )


class ModelRegistry:
    """All served models. Its methods belong to one event loop.

    A model that is to go takes no new request, and goes when its last one has ended: no stream is cut. Who
    asks for it meanwhile waits for it to be loaded again. A key that has lately had others' models unloaded
    waits until theirs have not been used for `stay_seconds`.
    """

    def __init__(
        self,
        offers: Iterable[ModelSpec],
        limits: Limits | None = None,
        *,
        load_wait_seconds: float = LOAD_WAIT_SECONDS,
        stay_seconds: float = STAY_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        self._entries = [ModelSlot(offer, Users(stay_seconds, clock)) for offer in offers]
        self._by_name = {
            name: entry for entry in self._entries for name in (entry.offer.id, *entry.offer.aliases)
        }
        self._limits = limits or Limits()
        self._evictions = Evictions(self._limits, stay_seconds=stay_seconds, clock=clock)
        self._load_wait_seconds = load_wait_seconds
        self._room = asyncio.Lock()
        self._checks: list[Callable[[LoadedModel], None]] = []
        self._has_started = False
        self._is_closed = False
        self._keeping: asyncio.Task[None] | None = None

    @property
    def offers(self) -> tuple[ModelSpec, ...]:
        """All models, loaded or not."""
        return tuple(entry.offer for entry in self._entries)

    @property
    def is_ready(self) -> bool:
        """Whether the models to be preloaded have been, and every loaded one would take a request now."""
        loaded = [entry.model for entry in self._entries if entry.model and entry.can_be_used]
        missing = any(entry.offer.preload and entry.status is Status.FAILED for entry in self._entries)
        are_up = self._has_started and not self._is_closed and not missing
        return are_up and all(model.engine.is_ready for model in loaded)

    def add_check(self, check: Callable[[LoadedModel], None]) -> None:
        """Let every model pass `check`, in a thread, before it is used; what it raises fails the load."""
        self._checks.append(check)

    def find(self, name: str, principal: Principal) -> ModelSpec:
        """The model that `name` stands for, loaded or not; raises ModelNotFoundError, also over one that the
        caller may not use.
        """
        return self._find(name, principal).offer

    def status(self, name: str) -> Status:
        """Where a model stands, by a name that has been found."""
        return self._by_name[name].status

    def loaded(self, name: str) -> LoadedModel | None:
        """The model if it is loaded, by a name that has been found. Only a lease keeps it."""
        return self._by_name[name].model

    async def check_start(self) -> None:
        """Raise what `start` would, if it is known without loading: NoRoomError, HeaderError, OSError."""
        for entry in await self._preloaded():
            await in_thread(entry.offer.check_file)

    async def start(self) -> None:
        """Load what is to be preloaded; raises what the first failure raised."""
        outcomes = await asyncio.gather(*(self._loading(entry) for entry in await self._preloaded()))
        failures = [failure for failure in outcomes if failure is not None]
        if failures:
            raise failures[0]
        self._has_started = True
        self._keeping = asyncio.create_task(self._keep(), name="registry")

    async def acquire(self, name: str, principal: Principal, *, is_patient: bool = False) -> Lease:
        """Hold the model that `name` stands for, loading it first if need be; `Lease.release` must follow.

        Raises ModelNotFoundError, and ModelUnavailableError when the load fails or takes too long, which is
        nothing to the patient.
        """
        entry, key = self._find(name, principal), principal.id
        if entry.can_be_used:
            return entry.lease(key)
        if self._is_closed:
            raise _closing()
        if entry.loading is None and entry.seconds_to_retry:
            raise entry.failure()
        self._loading(entry)
        place = entry.wait(key)
        try:
            await asyncio.wait([place], timeout=None if is_patient else self._load_wait_seconds)
        except asyncio.CancelledError:
            entry.leave(place)
            raise
        if not place.done():
            entry.leave(place)
            raise ModelUnavailableError(
                f"The model '{entry.offer.id}' is still loading.", retry_after=_RETRY_SECONDS
            )
        return place.result()

    @contextlib.asynccontextmanager
    async def holding(self, name: str, principal: Principal) -> AsyncGenerator[LoadedModel, None]:
        """`acquire` and `release` around a block."""
        lease = await self.acquire(name, principal)
        try:
            yield lease.model
        finally:
            lease.release()

    async def unload(self, name: str, principal: Principal) -> None:
        """Unload a model once its requests have ended; returns then, or after `load_wait_seconds`."""
        entry = self._find(name, principal)
        if entry.holds_room:
            await asyncio.wait([self._unloading(entry)], timeout=self._load_wait_seconds)

    async def close(self) -> None:
        """End all engines, whoever uses them."""
        self._is_closed = True
        tasks = [task for entry in self._entries for task in (entry.loading, entry.unloading) if task]
        tasks += [self._keeping] if self._keeping else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in self._entries:
            entry.refuse(_closing())
        await asyncio.gather(*(self._end(entry) for entry in self._entries))

    async def _keep(self) -> None:
        """Let models go whose file has changed, and load those again that are to be there always."""
        while True:
            await asyncio.sleep(_KEEP_SECONDS)
            try:
                for entry in self._entries:
                    self._keep_one(entry)
            except Exception:
                log.exception("models are not looked after; next time")

    def _keep_one(self, entry: ModelSlot) -> None:
        if entry.model is not None and entry.model.engine.is_outdated:
            entry.is_lost = True
            self._unloading(entry)
        elif entry.offer.preload and entry.needs_load:
            self._loading(entry)

    async def _preloaded(self) -> list[ModelSlot]:
        """Those to be loaded at the start. Raises NoRoomError where the limits do not allow them all."""
        entries = [entry for entry in self._entries if entry.offer.preload]
        await asyncio.gather(*(self._estimate(entry) for entry in entries))
        check_together(self._limits, [entry.need for entry in entries])
        return entries

    def _find(self, name: str, principal: Principal) -> ModelSlot:
        entry = self._by_name.get(name)
        if entry is None or not may_use(entry.offer, principal):
            usable = (known.offer for known in self._entries if may_use(known.offer, principal))
            served = ", ".join(f"'{offer.id}'" for offer in usable)
            told = f"This server has {served}." if served else none_usable(principal)
            raise ModelNotFoundError(f"The model '{name[:200]}' does not exist. {told}", param="model")
        return entry

    def _loading(self, entry: ModelSlot) -> asyncio.Task[Exception | None]:
        if entry.loading is None:
            entry.loading = asyncio.create_task(self._load(entry), name=f"load {entry.offer.id}")
        return entry.loading

    async def _load(self, entry: ModelSlot) -> Exception | None:
        """Load a model and hand it to those who wait; a failure goes to them, and is returned."""
        try:
            if entry.unloading is not None:
                await asyncio.wait([entry.unloading])
            await self._estimate(entry)
            if not await self._take_room(entry):
                return None
            model = await load(entry.offer, self._checks)
            entry.need = model.engine.need
            entry.succeed(model)
        except Exception as error:
            if self._has_started:  # before that, the caller of `start` is told
                log.error("the model '%s' could not be loaded: %s", entry.offer.id, error)
            entry.holds_room = False
            entry.fail()
            return error
        except BaseException:
            entry.holds_room = False
            raise
        finally:
            entry.loading, entry.asked_by = None, []
        return None

    async def _estimate(self, entry: ModelSlot) -> None:
        """Find out what a model needs, where it could matter to another."""
        if len(self._entries) > 1:
            entry.need = await in_thread(entry.offer.estimate_need)

    async def _take_room(self, entry: ModelSlot) -> bool:
        """Hold room for `entry`, waiting where others' models may not be unloaded for those who have asked;
        False where nobody wants it any more. Raises NoRoomError.
        """
        while True:
            async with self._room:
                entry.holds_room = await self._make_room(entry)
            if entry.holds_room or not entry.is_wanted:
                return entry.holds_room
            await asyncio.sleep(_LOOK_SECONDS)

    async def _make_room(self, entry: ModelSlot) -> bool:
        """Unload others until the limits allow `entry`; their requests end first. False where none may go."""
        while True:
            holders = {known.offer.id: known for known in self._entries if known.holds_room}
            users = {name: holder.users for name, holder in holders.items()}
            loaded = [holder.entry() for holder in holders.values()]
            leaving = self._evictions.choose(loaded, entry.need, users, entry.asked_by)
            if not leaving:
                return leaving is not None
            await asyncio.wait([self._unloading(holders[name]) for name in leaving])

    def _unloading(self, entry: ModelSlot) -> asyncio.Task[None]:
        if entry.unloading is None:
            unload = self._unload(entry, entry.loading)
            entry.unloading = asyncio.create_task(unload, name=f"unload {entry.offer.id}")
        return entry.unloading

    async def _unload(self, entry: ModelSlot, loading: asyncio.Task[Exception | None] | None) -> None:
        """End a model once nobody uses it. `loading` is the load that came before this, not one after it."""
        try:
            if loading is not None:
                await asyncio.wait([loading])
            await entry.idle.wait()
            await self._end(entry)
        finally:
            entry.holds_room = False
            entry.unloading = None

    async def _end(self, entry: ModelSlot) -> None:
        """Close a model's engine, and its vocabulary too unless somebody holds it."""
        if entry.model is not None:
            model = entry.model
            await model.engine.close()
            if entry.num_users == 0 and entry.model is not None:
                entry.model = None
                await in_thread(model.close)


def _closing() -> EngineUnavailableError:
    return EngineUnavailableError("the server is shutting down", retry_after=_RETRY_SECONDS)
