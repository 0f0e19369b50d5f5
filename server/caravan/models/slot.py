"""One offered model and what has become of it."""

import asyncio
import enum
import functools
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from caravan.errors import CaravanError, ModelUnavailableError
from caravan.models.eviction import STAY_SECONDS, Clock, LoadedEntry
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec
from caravan.sizing.sizes import Need

_FIRST_BACKOFF = 2.0
_LONGEST_BACKOFF = 120.0

_clock = itertools.count(1)


class Status(enum.Enum):
    """Where a model stands."""

    AVAILABLE = "available"
    LOADING = "loading"
    LOADED = "loaded"
    UNLOADING = "unloading"
    FAILED = "failed"


class Users:
    """The keys that use one model, wait for it, or did so within the last `seconds`. With 0 seconds: none."""

    def __init__(self, seconds: float = STAY_SECONDS, clock: Clock = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._present: Counter[str] = Counter()
        self._left_at: dict[str, float] = {}

    def begin(self, key: str) -> None:
        """A request of `key` has the model, or waits for it."""
        self._present[key] += 1

    def end(self, key: str) -> None:
        """It has let it go, or given up."""
        self._present[key] -= 1
        if not self._present[key]:
            del self._present[key]
        self._forget()
        self._left_at[key] = self._clock()

    def has_others(self, key: str) -> bool:
        """Whether the model is anybody's but this key's."""
        self._forget()
        return self._seconds > 0 and any(other != key for other in (*self._present, *self._left_at))

    def _forget(self) -> None:
        earliest = self._clock() - self._seconds
        self._left_at = {key: left_at for key, left_at in self._left_at.items() if left_at > earliest}


class Lease:
    """One request's hold on a loaded model, which is not unloaded meanwhile. `release` must follow.

    `stay` is how long its model is to stay behind it, in seconds; below 0 is for ever, None as ever.
    """

    def __init__(self, model: LoadedModel, let_go: "Callable[[Lease], None]") -> None:
        self.model = model
        self.stay: float | None = None
        self._let_go: Callable[[Lease], None] | None = let_go

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._let_go is not None:
            let_go, self._let_go = self._let_go, None
            let_go(self)


class ModelSlot:
    """The state of one model: who waits for it, who uses it, and how its last load ended.

    Only the registry changes it. `holds_room` from the time it may take memory until that is free again.
    `asked_by` are the keys for which it is being loaded, in the order of their requests.
    """

    def __init__(self, spec: ModelSpec, users: Users | None = None, clock: Clock = time.monotonic) -> None:
        self.spec = spec
        self.names = (spec.id, *spec.aliases)
        self.users = users or Users()
        self.need = Need()
        self.model: LoadedModel | None = None
        self.loading: asyncio.Task[Exception | None] | None = None
        self.unloading: asyncio.Task[None] | None = None
        self.holds_room = False
        self.last_used = 0
        self.leases: set[Lease] = set()
        self.is_lost = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.asked_by: list[str] = []
        self._clock = clock
        self._idle_since = clock()
        # Who used it last, and how long it was to stay then.
        self._last: tuple[str, float | None] = ("", None)
        self._waiting: list[tuple[str, asyncio.Future[Lease]]] = []
        self._backoff = _FIRST_BACKOFF
        self._retry_at: float | None = None

    @property
    def num_users(self) -> int:
        """Requests that hold the model."""
        return len(self.leases)

    @property
    def status(self) -> Status:
        """Where the model stands."""
        if self.unloading is not None:
            return Status.UNLOADING
        if self.model is not None:
            return Status.LOADED
        if self.loading is not None:
            return Status.LOADING
        return Status.AVAILABLE if self._retry_at is None else Status.FAILED

    @property
    def can_be_used(self) -> bool:
        """Whether a request may begin now."""
        return self.model is not None and self.unloading is None

    @property
    def needs_load(self) -> bool:
        """Whether the last load failed, or its model had to go because its file changed, and it may be tried
        again now.
        """
        wants = self._retry_at is not None or self.is_lost
        return wants and self.model is None and self.loading is None and not self.seconds_to_retry

    @property
    def is_busy(self) -> bool:
        """Whether unloading it would have to wait."""
        return self.num_users > 0 or self.model is None

    @property
    def is_stale(self) -> bool:
        """Whether nobody has used it for as long as it is to stay."""
        return self.can_be_used and not self.num_users and self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        """How long it stays if nobody uses it from now on: as the operator says, or shorter if its last
        request wants that and no other key has lately used it. Infinite is until others need its memory.
        """
        if self.spec.pinned:
            return math.inf
        longest = self.spec.idle_unload or math.inf
        key, seconds = self._last
        if seconds is not None and seconds >= 0 and not self.users.has_others(key):
            longest = min(seconds, longest)
        return longest if self.num_users else longest - (self._clock() - self._idle_since)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for it, or it is to be there always."""
        return self.spec.preload or any(not place.done() for _, place in self._waiting)

    def entry(self) -> LoadedEntry:
        """What evictions are decided by."""
        return LoadedEntry(
            id=self.spec.id,
            need=self.need,
            is_pinned=self.spec.pinned,
            is_busy=self.is_busy,
            last_used=self.last_used,
            has_others=self.users.has_others,
        )

    def lease(self, key: str) -> Lease:
        """A hold on the loaded model, for a request of this key."""
        assert self.model is not None
        lease = Lease(self.model, functools.partial(self._let_go, key))
        self.leases.add(lease)
        self.users.begin(key)
        self.idle.clear()
        self.last_used = next(_clock)
        return lease

    def add_need(self, num_bytes: int) -> None:
        """Count so much more memory, or less."""
        self.need = msgspec.structs.replace(self.need, total=max(0, self.need.total + num_bytes))

    def wait(self, key: str) -> asyncio.Future[Lease]:
        """A place among those who get the model when it has been loaded, for a request of this key."""
        place: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, place))
        self.users.begin(key)
        if key not in self.asked_by:
            self.asked_by.append(key)
        return place

    def leave(self, place: asyncio.Future[Lease]) -> None:
        """Give a place up, and whatever has been handed out there."""
        for waiting in [waiting for waiting in self._waiting if waiting[1] is place]:
            self._waiting.remove(waiting)
            self.users.end(waiting[0])
        if place.done() and not place.cancelled() and place.exception() is None:
            place.result().release()

    def succeed(self, model: LoadedModel) -> None:
        """The load has succeeded; all who waited get the model before anybody could unload it."""
        self.model = model
        self.is_lost = False
        self._idle_since, self._last = self._clock(), ("", None)
        self._backoff, self._retry_at = _FIRST_BACKOFF, None
        self.last_used = next(_clock)
        for key, place in self._take_waiting():
            place.set_result(self.lease(key))

    def fail(self) -> None:
        """The load has failed; all who waited are told, and the next one has to wait."""
        self._retry_at = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self.refuse(self.failure())

    def failure(self) -> ModelUnavailableError:
        """What is told to those who ask for a model that could not be loaded. Paths stay in the log."""
        return ModelUnavailableError(
            f"The model '{self.spec.id}' could not be loaded; the server's log says why.",
            retry_after=max(1, self.seconds_to_retry),
        )

    def refuse(self, error: CaravanError) -> None:
        """Tell all who wait that it was in vain."""
        for _, place in self._take_waiting():
            place.set_exception(error)

    @property
    def seconds_to_retry(self) -> int:
        """How long no load will be tried; 0 when it may be."""
        return 0 if self._retry_at is None else max(0, math.ceil(self._retry_at - time.monotonic()))

    def _take_waiting(self) -> list[tuple[str, asyncio.Future[Lease]]]:
        taken, self._waiting = self._waiting, []
        for key, _ in taken:
            self.users.end(key)
        return [(key, place) for key, place in taken if not place.done()]

    def _let_go(self, key: str, lease: Lease) -> None:
        self.leases.discard(lease)
        self._last = (key, lease.stay)
        self.users.end(key)
        self.last_used = next(_clock)
        if self.num_users == 0:
            self._idle_since = self._clock()
            self.idle.set()
