"""The life of one batch: its input read, its lines answered, its files written, from wherever it stood."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from caravan_schemas.batches import Status

from caravan.api.batches.answering import Answerer, unanswered
from caravan.api.batches.archive import BatchArchive, Store
from caravan.api.batches.lines import LinesToDo
from caravan.api.batches.reading import MAX_FAULTS, Chunk, InputReader, fault
from caravan.api.batches.stored_files import NoRoomError
from caravan.api.batches.values import Answer, Batch, Line
from caravan.api.batches.writing import Output, OutputWriter
from caravan.api.store.errors import StorageError
from caravan.errors import InvalidRequestError
from caravan.models import ModelRegistry
from caravan.runtime.threads import FairLimiter, cancel_and_wait, in_busy_thread

T = TypeVar("T")

# Lines of one batch that are asked at once, as far as there are places; where no model is loaded yet, some.
MAX_WORKERS = 256
_USUAL_RUNNING = 64
_BETWEEN_SECONDS = 0.01
# Lines that are ended at a time.
_PAGE = 256
# How often it is looked whether somebody cancels a batch, perhaps at another server, or its time is over.
_LOOK_SECONDS = 2.0
_RETRY_SECONDS = 5.0
_LONGEST_REST = 0.25
_CANCELLED = "This request was not answered, since the batch was cancelled."
_EXPIRED = "This request could not be answered before the completion window expired."
_NO_ROOM = "The key has as much stored as it may have: there is no room for what is noted of the lines."
_FULL = "This request was not answered, since the key has as much stored as it may have."


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all batches of a server share: one input is read at a time, and of each owner one is answered."""

    archive: BatchArchive
    registry: ModelRegistry
    answerer: Answerer
    reading: FairLimiter
    max_line_bytes: int
    count_line: Callable[[bool], None]


class BatchWork:
    """Does what is to be done for one batch; `run` returns when it is finished.

    `turn` is held while its lines are answered. Cancelling the task leaves the batch as it stands, for
    whoever begins it again.
    """

    def __init__(self, batch: Batch, shared: Shared, turn: asyncio.Lock) -> None:
        self.batch = batch
        self._shared = shared
        self._turn = turn
        self._nudge = asyncio.Event()

    def nudge(self) -> None:
        """Have it look at once whether it is cancelled."""
        self._nudge.set()

    async def run(self) -> None:
        """Work until the batch is finished."""
        await self._while_wanted(self._read_and_answer())
        await self._finish()

    async def _while_wanted(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work as long as nobody cancels the batch, and its time is not over."""
        working = asyncio.create_task(work)
        try:
            while not working.done():
                nudged = asyncio.create_task(self._nudge.wait())
                await asyncio.wait(
                    [working, nudged], timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                await cancel_and_wait(nudged)
                self._nudge.clear()
                if not working.done() and not await self._is_wanted():
                    return
            working.result()
        finally:
            await cancel_and_wait(working)

    async def _is_wanted(self) -> bool:
        batch = self.batch

        def work(store: Store) -> tuple[Batch, bool]:
            return store.batches.get(batch.owner, batch.id), store.batches.is_over(batch)

        self.batch, is_over = await self._insist(work)
        return self.batch.status in ("validating", "in_progress") and not is_over

    async def _read_and_answer(self) -> None:
        if self.batch.status == "validating":
            async with self._shared.reading.held(self.batch.owner):
                await self._read()
        if self.batch.status == "in_progress":
            async with self._turn:
                await self._answer_all()

    async def _read(self) -> None:
        """Look at every line before the first is answered. Batches are of no use where one line is wrong."""
        batch = self.batch
        await self._insist(lambda store: store.batches.drop_lines(batch))
        path = await self._insist(lambda store: store.files.path(batch.input_file_id))
        reader = InputReader(path, batch.endpoint, self._shared.max_line_bytes)
        try:
            await self._read_all(reader)
        except OSError:
            message = f"File with id '{batch.input_file_id}' cannot be read."
            await self._refuse([fault("file_not_found", message)])
        finally:
            reader.close()

    async def _read_all(self, reader: InputReader) -> None:
        batch = self.batch
        faults: list[dict[str, Any]] = []
        models: dict[str, str] = {}
        is_last = False
        while not is_last and len(faults) < MAX_FAULTS:
            begun = time.monotonic()
            chunk = await in_busy_thread(reader.next_chunk)
            faults += chunk.faults
            faults += self._model_faults(chunk, models)
            is_last = chunk.is_last
            if not faults and not await self._insist(partial(_add, batch, chunk.lines)):
                faults.append(fault("storage_limit_exceeded", _NO_ROOM))
                is_last = True
            # As much time is others', whose requests are read by this process, too.
            await asyncio.sleep(min(_LONGEST_REST, time.monotonic() - begun))
        if not reader.num_lines and not faults:
            faults.append(fault("empty_batch", "The file has no requests."))
        if faults:
            await self._refuse(sorted(faults, key=lambda found: found["line"] or 0)[:MAX_FAULTS])
            return
        model = next(iter(models.values())) if len(set(models.values())) == 1 else None
        self.batch = await self._insist(lambda store: store.batches.accept(batch, reader.num_lines, model))

    def _model_faults(self, chunk: Chunk, models: dict[str, str]) -> list[dict[str, Any]]:
        """Find the models that a key may not use, once each; the others are noted by what they are called."""
        faults: list[dict[str, Any]] = []
        registry = self._shared.registry
        for name, number in chunk.models.items():
            if name in models:
                continue
            models[name] = name
            try:
                who = self._shared.answerer.holder(self.batch.owner)
                found = registry.name_of(name, who)
                spec = registry.find(found, who)
                models[name] = found if found in spec.adapters else spec.id
            except InvalidRequestError as error:
                faults.append(fault(error.code, error.message, number, "body.model"))
        return faults

    async def _refuse(self, faults: list[dict[str, Any]]) -> None:
        batch = self.batch
        self.batch = await self._insist(lambda store: store.batches.refuse(batch, faults))

    async def _answer_all(self) -> None:
        lines = LinesToDo(self.batch, self._insist)
        try:
            await lines.open()
            async with asyncio.TaskGroup() as group:
                for number in range(min(self.batch.num_total, self._num_workers())):
                    group.create_task(self._answer_some(lines, number * _BETWEEN_SECONDS))
        finally:
            lines.close()

    def _num_workers(self) -> int:
        """So many that each model has always a line to begin."""
        registry = self._shared.registry
        loaded = [model for spec in registry.specs if (model := registry.loaded(spec.id)) is not None]
        num_running = max((model.engine.max_running for model in loaded), default=_USUAL_RUNNING)
        return min(MAX_WORKERS, num_running + max(4, num_running // 4))

    async def _answer_some(self, lines: LinesToDo, seconds: float) -> None:
        # One after the other, since others wait for the same threads.
        await asyncio.sleep(seconds)
        batch, shared = self.batch, self._shared
        while (line := await lines.next()) is not None:
            if lines.has_room:
                body = await lines.body(line)
                answer = await shared.answerer.answer(batch.owner, batch.endpoint, line, body)
            else:
                answer = unanswered(line, "storage_limit_exceeded", _FULL)
            lines.note(len(answer.text))
            if await self._insist(partial(_keep, batch, line, answer)):
                shared.count_line(answer.is_error)

    async def _finish(self) -> None:
        """Write the files of answers, whatever is missing in them."""
        batch = await self._insist(lambda store: store.batches.get(self.batch.owner, self.batch.id))
        if batch.status in ("validating", "in_progress"):
            batch = await self._insist(partial(_move_to_finalizing, batch))
        self.batch = batch
        if not batch.is_unfinished:
            return
        if batch.status == "cancelling":
            status: Status = "cancelled"
            rest = "batch_cancelled", _CANCELLED
        else:
            is_late = batch.times["finalizing"] >= batch.expires_at
            status = "expired" if is_late else "completed"
            rest = "batch_expired", _EXPIRED
        outputs: list[Output] = []
        if "in_progress" in batch.times:
            while await self._insist(partial(_end_some, batch, *rest)):
                pass
            outputs = await self._written()
        self.batch = await self._insist(lambda store: store.batches.finish(batch, status, outputs))

    async def _written(self) -> list[Output]:
        while True:
            writer = OutputWriter(self._shared.archive, self.batch)
            try:
                return await writer.write()
            except StorageError:
                await self._insist(writer.discard)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _insist(self, work: Callable[[Store], T]) -> T:
        """Do some work on the store as soon as it can be done."""
        while True:
            try:
                return await self._shared.archive.do(work, self.batch.owner)
            except StorageError:
                await asyncio.sleep(_RETRY_SECONDS)


def _add(batch: Batch, lines: list[Line], store: Store) -> bool:
    """Whether there was room for them."""
    try:
        store.batches.add_lines(batch, lines)
    except NoRoomError:
        return False
    return True


def _keep(batch: Batch, line: Line, answer: Answer, store: Store) -> bool:
    return store.batches.answer(batch, line, answer)


def _move_to_finalizing(batch: Batch, store: Store) -> Batch:
    return store.batches.move(batch, "finalizing", ("validating", "in_progress"))


def _end_some(batch: Batch, code: str, message: str, store: Store) -> bool:
    """Say of some lines that nobody will answer them; whether there may be more."""
    lines = store.batches.to_do(batch, None, _PAGE)
    for line in lines:
        store.batches.answer(batch, line, unanswered(line, code, message))
    return bool(lines)
