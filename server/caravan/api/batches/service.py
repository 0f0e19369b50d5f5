"""Batches: made, asked for, cancelled by who owns them, and worked on beneath everything else."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from caravan_schemas.batches import BatchRequest
from caravan_schemas.queries import PageQuery

from caravan.api.batches.answering import Answerer, LineServices
from caravan.api.batches.archive import BatchArchive, Store
from caravan.api.batches.files_service import file_missing
from caravan.api.batches.stored_batches import MAX_UNFINISHED, TooManyError
from caravan.api.batches.values import UNFINISHED, Batch
from caravan.api.batches.working import MAX_WORKERS, BatchWork, Shared
from caravan.api.store.errors import MissingError, NotStoredError, StorageError
from caravan.api.store.records import Page
from caravan.api.store.shelf import PAGE, list_of
from caravan.auth.principal import Principal
from caravan.errors import EngineUnavailableError, InvalidRequestError, RateLimitError
from caravan.observability.metrics import Metrics
from caravan.runtime.threads import FairLimiter

T = TypeVar("T")

log = logging.getLogger(__name__)

# How often it is looked for batches of servers that have ended, and for what is too old.
_LOOK_SECONDS = 10.0
_LOOKS_PER_CLEANING = 30
_FAILED_SECONDS = 30.0
_RETRY_SECONDS = 5


class _ConflictError(InvalidRequestError):
    status = 409
    code = "not_cancellable"


class BatchService:
    """Serves `/v1/batches`. Callers see their own key's batches alone.

    Of each owner, one batch is answered at a time; the others have been read by then, and wait.
    """

    def __init__(
        self, archive: BatchArchive, services: LineServices, metrics: Metrics, max_line_bytes: int
    ) -> None:
        self._archive = archive
        self._metrics = metrics
        self._shared = Shared(
            archive=archive,
            registry=services.registry,
            answerer=Answerer(services, FairLimiter(MAX_WORKERS)),
            reading=FairLimiter(1),
            max_line_bytes=max_line_bytes,
            count_line=metrics.count_batch_line,
        )
        self._works: dict[str, BatchWork] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._is_stopped = False

    async def open(self) -> None:
        """Open the store, and go on with what is unfinished, where batches are served. Raises PlaceError
        where there can be no store.
        """
        if not self._archive.is_served:
            return
        await self._archive.open()
        self._keeping = asyncio.create_task(self._keep(), name="batches")

    async def create(self, request: BatchRequest, principal: Principal) -> bytes:
        """Begin a batch. What is wrong with its lines is found out afterwards."""
        if self._is_stopped:
            raise EngineUnavailableError("The server is shutting down.", retry_after=_RETRY_SECONDS)
        try:
            batch = await self._archive.do(
                lambda store: store.batches.create(principal.id, store.place, request), principal.id
            )
        except MissingError as error:
            missing = file_missing(request.input_file_id)
            raise InvalidRequestError(missing.message, param="input_file_id", code=missing.code) from error
        except TooManyError as error:
            message = f"This key has {MAX_UNFINISHED} batches already that are not finished."
            raise RateLimitError(message, code="too_many_batches", retry_after=60) from error
        self._begin(batch)
        return batch.document()

    async def retrieve(self, name: str, principal: Principal) -> bytes:
        """Return a batch as it stands."""
        return (await self._find(name, principal, lambda s: s.batches.get(principal.id, name))).document()

    async def list(self, query: PageQuery, principal: Principal) -> bytes:
        """Return a page of batches, the newest first."""
        limit = query.limit or PAGE
        try:
            batches, has_more = await self._archive.do(
                lambda store: store.batches.page(principal.id, query.after, limit), principal.id
            )
        except MissingError as error:
            raise InvalidRequestError(
                _missing(str(error)).message, param="after", code="batch_not_found"
            ) from error
        texts = [batch.document().decode() for batch in batches]
        return list_of(Page([batch.id for batch in batches], texts, has_more))

    async def cancel(self, name: str, principal: Principal) -> bytes:
        """Have a batch end as soon as it can; what has been answered stays."""

        def work(store: Store) -> Batch:
            batch = store.batches.get(principal.id, name)
            return store.batches.move(batch, "cancelling", ("validating", "in_progress"))

        batch = await self._find(name, principal, work)
        if batch.status not in ("cancelling", "cancelled"):
            raise _ConflictError(f"A batch that is '{batch.status}' cannot be cancelled.")
        if (mine := self._works.get(batch.id)) is not None:
            mine.nudge()
        return batch.document()

    async def stop(self) -> None:
        """Leave all batches as they stand, for the next server."""
        self._is_stopped = True
        tasks = [*self._tasks.values(), *([self._keeping] if self._keeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Stop, and close the store."""
        await self.stop()
        await self._archive.aclose()

    def _begin(self, batch: Batch) -> None:
        """Work on a batch, unless that is being done."""
        if batch.id in self._works or self._is_stopped:
            return
        turn = self._turns.setdefault(batch.owner, asyncio.Lock())
        work = self._works[batch.id] = BatchWork(batch, self._shared, turn)
        task = self._tasks[batch.id] = asyncio.create_task(self._run(work), name=batch.id)
        task.add_done_callback(lambda _: self._forget(batch))
        self._count()

    async def _run(self, work: BatchWork) -> None:
        while work.batch.is_unfinished:
            try:
                await work.run()
            except Exception:
                log.exception("the batch %s is not gone on with; again in a while", work.batch.id)
                await asyncio.sleep(_FAILED_SECONDS)
        log.info(
            "%s %s: %d of %d lines answered, %d refused",
            work.batch.id,
            work.batch.status,
            work.batch.num_completed,
            work.batch.num_total,
            work.batch.num_failed,
        )
        self._metrics.batches_ended.labels(work.batch.status).inc()

    def _forget(self, batch: Batch) -> None:
        self._works.pop(batch.id, None)
        self._tasks.pop(batch.id, None)
        if all(work.batch.owner != batch.owner for work in self._works.values()):
            self._turns.pop(batch.owner, None)
        self._count()

    def _count(self) -> None:
        statuses = Counter(work.batch.status for work in self._works.values())
        for status in UNFINISHED:
            self._metrics.batches.labels(status).set(statuses[status])

    async def _keep(self) -> None:
        """Go on with batches that nobody works on, and clean up."""
        number = 0
        while True:
            try:
                for batch in await self._archive.do(_ours):
                    self._begin(batch)
                if number % _LOOKS_PER_CLEANING == 0:
                    await self._archive.do(lambda store: store.delete_old())
            except StorageError:
                log.debug("batches are not looked after; next time")
            except Exception:
                log.exception("batches are not looked after; next time")
            self._count()
            number += 1
            await asyncio.sleep(_LOOK_SECONDS)

    async def _find(self, name: str, principal: Principal, work: Callable[[Store], T]) -> T:
        try:
            return await self._archive.do(work, principal.id)
        except MissingError as error:
            raise _missing(name) from error


def _missing(name: str) -> NotStoredError:
    return NotStoredError(f"Batch with id '{name[:80]}' not found.", code="batch_not_found")


def _ours(store: Store) -> list[Batch]:
    """List the batches that this server is to work on: its own, and those whose server has ended."""
    found = []
    for batch, place in store.batches.unfinished():
        if place == store.place or (
            not store.is_alive(place) and store.batches.adopt(batch, place, store.place)
        ):
            found.append(batch)
    return found
