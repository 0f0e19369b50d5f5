"""One offered model and what has become of it."""

import asyncio
import enum
import itertools
import math
import time

from server.engine.sizing import Need
from server.errors import CaravanError, ModelUnavailableError
from server.loaded_model import LoadedModel
from server.registry.lease import Lease
from server.registry.offer import ModelOffer

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


class Entry:
    """The books over one model: who waits for it, who uses it, and how its last load ended.

    Only the registry changes them. `holds_room` from the time it may occupy memory until that is free again.
    """

    def __init__(self, offer: ModelOffer) -> None:
        self.offer = offer
        self.need = Need()
        self.model: LoadedModel | None = None
        self.loading: asyncio.Task[Exception | None] | None = None
        self.unloading: asyncio.Task[None] | None = None
        self.holds_room = False
        self.last_used = 0
        self.num_users = 0
        self.is_lost = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._waiting: list[asyncio.Future[Lease]] = []
        self._backoff = _FIRST_BACKOFF
        self._retry_at: float | None = None

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

    def lease(self) -> Lease:
        """A hold on the loaded model."""
        assert self.model is not None
        self.num_users += 1
        self.idle.clear()
        self.last_used = next(_clock)
        return Lease(self.model, self._let_go)

    def wait(self) -> asyncio.Future[Lease]:
        """A place among those who get the model when it has been loaded."""
        place: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        return place

    def leave(self, place: asyncio.Future[Lease]) -> None:
        """Give a place up, and whatever has been handed out there."""
        if place in self._waiting:
            self._waiting.remove(place)
        if place.done() and not place.cancelled() and place.exception() is None:
            place.result().release()

    def succeed(self, model: LoadedModel) -> None:
        """The load has succeeded; all who waited get the model before anybody could unload it."""
        self.model = model
        self.is_lost = False
        self._backoff, self._retry_at = _FIRST_BACKOFF, None
        self.last_used = next(_clock)
        for place in self._take_waiting():
            place.set_result(self.lease())

    def fail(self) -> None:
        """The load has failed; all who waited are told, and the next one has to wait."""
        self._retry_at = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        self.refuse(self.failure())

    def failure(self) -> ModelUnavailableError:
        """What is told to those who ask for a model that could not be loaded. Paths stay in the log."""
        return ModelUnavailableError(
            f"The model '{self.offer.id}' could not be loaded; the server's log says why.",
            retry_after=max(1, self.seconds_to_retry),
        )

    def refuse(self, error: CaravanError) -> None:
        """Tell all who wait that it was in vain."""
        for place in self._take_waiting():
            place.set_exception(error)

    @property
    def seconds_to_retry(self) -> int:
        """How long no load will be tried; 0 when it may be."""
        return 0 if self._retry_at is None else max(0, math.ceil(self._retry_at - time.monotonic()))

    def _take_waiting(self) -> list[asyncio.Future[Lease]]:
        places, self._waiting = [place for place in self._waiting if not place.done()], []
        return places

    def _let_go(self) -> None:
        self.num_users -= 1
        self.last_used = next(_clock)
        if self.num_users == 0:
            self.idle.set()
