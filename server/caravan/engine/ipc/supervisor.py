"""Keeps the process of an engine alive: one that ends or hangs is ended and started anew, for ever."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable

import anyio
import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc import messages
from caravan.engine.ipc.child_process import (
    ChildProcess,
    EngineHungError,
    EngineStartError,
    FirstPromptDeathError,
    relay,
)
from caravan.engine.ipc.watchdog import WatchLimits
from caravan.errors import EngineUnavailableError
from caravan.llama.model_file import CHANGED, FileChange, ModelFile
from caravan.runtime.threads import in_thread

log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.25
_LONGEST_BACKOFF = 30.0
# A child that lived this long had no trouble starting; the next restart is quick again.
_STABLE_SECONDS = 60.0
# How often the model's file is looked at.
_FILE_SECONDS = 2.0
_ENDED = "the engine ended unexpectedly"
_TOLD: dict[FileChange, str] = {
    "replaced": "another file has the name of %s; the model that is loaded goes on as it is",
    "deleted": "%s was deleted; the model goes on as long as its engine lives",
    "modified": "%s was changed while it was in use; the model has to be loaded anew",
}

Hear = Callable[[messages.FromEngine], None]


class Supervisor:
    """One engine's processes, one after the other. All methods belong to one event loop.

    `hear` is called with what the process says, `lose` with a reason when all that runs there is lost, and
    `begin` when there is another process in its place.
    """

    def __init__(
        self,
        config: EngineConfig,
        limits: WatchLimits,
        hear: Hear,
        lose: Callable[[str], None],
        begin: Callable[[], None],
    ) -> None:
        self.config = config
        self.num_restarts = 0
        self.file_change: FileChange | None = None
        self.is_outdated = False
        self._limits = limits
        self._hear = hear
        self._lose = lose
        self._begin = begin
        self._file = ModelFile(config.model_path)
        self._file_thread = anyio.CapacityLimiter(1)
        self._child: ChildProcess | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._backoff = _FIRST_BACKOFF
        self._start_seconds = 0.0
        self._has_failed = False
        self.opened = asyncio.Event()

    async def start(self) -> ChildProcess:
        """Start the first process and wait until it is ready; raises EngineStartError or OSError."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # told better by who loads it
            await in_thread(self._file.read, limiter=self._file_thread)
        child = self._child = await self._started()
        if (change := await self._changed()) is not None:
            await self.close()
            raise EngineStartError(f"{self.config.model_path} was {change} while it was loaded")
        self._tasks = [
            asyncio.create_task(self._supervise(), name="engine supervisor"),
            asyncio.create_task(self._follow_file(), name="model file watch"),
        ]
        return child

    async def close(self) -> None:
        """End the process, and start no other."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            await child.stop()

    @property
    def child(self) -> ChildProcess | None:
        """The process that is there, None while there is none."""
        return self._child

    @property
    def is_ready(self) -> bool:
        """Whether the process would take work now."""
        return self._child is not None and not self._child.is_suspicious

    def taking(self) -> ChildProcess:
        """Return the process that takes work; raises EngineUnavailableError while there is none."""
        if self._child is not None and self.is_ready:
            return self._child
        raise EngineUnavailableError(self._why_not(), retry_after=self._retry_after())

    def _why_not(self) -> str:
        if self.is_outdated:
            return "the model's file has changed, and it is loaded anew"
        if self._child is not None:
            return "the engine does not answer"
        if self._has_failed:
            return "the engine does not start; the server's log says why"
        return "the engine is restarting"

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._backoff + self._start_seconds))

    async def _supervise(self) -> None:
        """Nothing ends this but `close`: what fails is told, and tried again."""
        while True:
            try:
                await self._live()
            except EngineStartError as error:
                self._has_failed = True
                _tell("the engine does not start: %s; next try in %.1f s", error, self._backoff)
            except Exception as error:
                self._has_failed = True
                _tell("the engine cannot be started: %r; next try in %.1f s", error, self._backoff)
                # What fails before anything is waited for must not keep the event loop.
                await asyncio.sleep(_FIRST_BACKOFF)

    async def _live(self) -> None:
        """One life of a process, from its start to its end."""
        if self._child is None:
            self._child = await self._next_child()
            self.num_restarts += 1
            self._begin()
        child, begun = self._child, time.monotonic()
        reason = await self._end_of(child)
        self._child = None
        self._lose(CHANGED if self.is_outdated else reason)
        fate = await child.kill()
        if not self.is_outdated:
            _tell("the engine of %s ended (%s); restarting", self.config.model_path, fate)
        if time.monotonic() - begun > _STABLE_SECONDS:
            self._backoff = _FIRST_BACKOFF

    async def _end_of(self, child: ChildProcess) -> str:
        """Wait for the end of a process, or for it to hang; what is told to those whose work it had."""
        try:
            await child.watched(self._listen(child))
        except EngineHungError as error:
            _tell("the engine of %s hangs: %s", self.config.model_path, error)
            return f"the engine hung and was ended: {error}"
        except Exception as error:
            _tell("the engine of %s cannot be understood: %r", self.config.model_path, error)
        return _ENDED

    async def _listen(self, child: ChildProcess) -> None:
        while (message := await child.receive()) is not None:
            if isinstance(message, messages.Logged):
                relay(message)
            elif isinstance(message, messages.FileChanged):
                self._note("modified")
                self._outdate()
            else:
                self._hear(message)

    async def _next_child(self) -> ChildProcess:
        await asyncio.sleep(self._backoff)
        self._backoff = min(2 * self._backoff, _LONGEST_BACKOFF)
        change = await self._changed()
        if change == "deleted":
            raise EngineStartError(f"no such file: {self.config.model_path}")
        if change is not None:
            # The vocabulary that requests are read with is that of the old file.
            self._outdate()
        if self.is_outdated:
            await asyncio.Event().wait()
        child = await self._started()
        if (change := await self._changed()) is not None:
            await child.kill()
            raise EngineStartError(f"{self.config.model_path} was {change} while it was loaded")
        self._has_failed = False
        return child

    async def _started(self) -> ChildProcess:
        """A process, ready; one that dies in its first prompt gets a second chance with plain kernels."""
        begun = time.monotonic()
        level = logging.getLogger().getEffectiveLevel()
        try:
            child = await ChildProcess.start(self.config, level, self._limits, self.opened.set)
        except FirstPromptDeathError as error:
            if not self.config.use_extra_buffers:
                raise
            log.warning("the engine %s; starting again with use_extra_bufts off: slower, but safe", error)
            self.config = msgspec.structs.replace(self.config, use_extra_buffers=False)
            child = await ChildProcess.start(self.config, level, self._limits, self.opened.set)
        # Adapters may have come or gone meanwhile.
        adapters, added = self.config.adapters, self.config.added_adapters
        self.config = msgspec.structs.replace(child.sizes.config, adapters=adapters, added_adapters=added)
        self._start_seconds = time.monotonic() - begun
        return child

    async def _follow_file(self) -> None:
        """Look at the model's file now and then; one that is written to is computed with no longer."""
        while not self.is_outdated:
            await asyncio.sleep(_FILE_SECONDS)
            # A disk that does not answer, or no thread or memory to ask it with: next time.
            with contextlib.suppress(Exception):
                await self._changed()
                if self.file_change == "modified":
                    self._outdate()

    async def _changed(self) -> FileChange | None:
        """What has become of the model's file; what is new of that is logged."""
        change = await in_thread(self._file.change, limiter=self._file_thread)
        self._note(change)
        return change

    def _note(self, change: FileChange | None) -> None:
        if change != self.file_change and change is not None:
            log.warning(_TOLD[change], self.config.model_path)
        self.file_change = change

    def _outdate(self) -> None:
        self.is_outdated = True
        if self._child is not None:
            self._child.interrupt()


def _tell(message: str, *values: object) -> None:
    """Log an error, if there is memory for that; nothing ends over it."""
    with contextlib.suppress(Exception):
        log.error(message, *values)
