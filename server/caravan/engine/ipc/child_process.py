"""One life of an engine process, seen from the asyncio side."""

import asyncio
import contextlib
import logging
import signal
import subprocess
from collections.abc import Callable, Coroutine
from typing import Any

from caravan.config.engine_config import DISK_CLOSE_SECONDS, EngineConfig
from caravan.engine.embedding.values import ModelTraits
from caravan.engine.ipc import messages, spawn
from caravan.engine.ipc.watchdog import Watchdog, WatchLimits
from caravan.runtime.machine import process_sample
from caravan.sizing.sizes import Sizes

log = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
# The system ends a process at once, unless it is stuck in a disk that does not answer.
_KILL_SECONDS = 30.0
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
# What the system means by ending a process so.
_MEANINGS = {
    signal.SIGKILL: "so does a system that is short of memory",
    signal.SIGBUS: "so does a file that was cut off while it was in use, or a disk that fails",
}


class EngineStartError(Exception):
    """The engine's process cannot serve its model."""


class EngineHungError(Exception):
    """The engine's process is there and does nothing, or the same without an end."""


class FirstPromptDeathError(EngineStartError):
    """The process died while computing its first prompt, as builds with broken matrix kernels do."""


def relay(line: messages.Logged) -> None:
    """Log what the child has to say as if it were said here."""
    message, _, trace = line.text.partition("\n")
    logging.getLogger(line.name).log(line.level, "%s", message, extra={"trace": trace})


class ChildProcess:
    """A running engine process. `sizes` are those it really uses."""

    module = spawn.MODULE

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limits: WatchLimits,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._stop_seconds = _STOP_SECONDS
        self._watchdog = Watchdog(limits)
        self.sizes: Sizes
        self.traits = ModelTraits()
        self.missing_adapters: set[str] = set()
        self.system_info = ""

    @classmethod
    async def start(
        cls, config: EngineConfig, log_level: int, limits: WatchLimits, opened: Callable[[], None]
    ) -> "ChildProcess":
        """Have a process load the model, and wait until it has computed its first prompt.

        `opened` is called once it has read the file without harm.
        Raises EngineStartError, FirstPromptDeathError where other kernels may help, and OSError.
        """
        launched = spawn.take(cls.module)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=launched.connection)
        except BaseException:
            launched.connection.close()
            launched.process.kill()
            raise
        child = cls(launched.process, reader, writer, limits)
        child._stop_seconds += 0.0 if config.disk_cache is None else DISK_CLOSE_SECONDS
        try:
            child.send(messages.Load(config, log_level))
            await child.watched(child._await_ready(opened))
        except EngineHungError as error:
            await child.kill()
            raise EngineStartError(f"the engine hung while loading: {error}") from error
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def pid(self) -> int:
        """The operating system's number of the process."""
        return self._process.pid

    def send(self, message: messages.ToEngine) -> None:
        """Post a message; nothing is awaited, and a dead child swallows it."""
        if not self._writer.is_closing():
            self._writer.write(messages.encode(message))

    async def receive(self) -> messages.FromEngine | None:
        """Wait for the next message that is not for the watchdog; None once the process is gone."""
        while True:
            try:
                prefix = await self._reader.readexactly(messages.LENGTH_SIZE)
                body = await self._reader.readexactly(messages.body_length(prefix))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            message = messages.from_engine_decoder.decode(body)
            if not isinstance(message, messages.Heartbeat):
                return message
            self._watchdog.heard(message)

    async def watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, which reads, as long as the process shows that it lives; raises EngineHungError."""
        working = asyncio.create_task(work, name="engine reader")
        try:
            while not working.done():
                await asyncio.wait([working], timeout=self._limits.tick_seconds)
                if not working.done():
                    self._look()
            working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    @property
    def is_suspicious(self) -> bool:
        """Whether it may hang: it had better get no new work for now."""
        return self._watchdog.is_suspicious

    def _look(self) -> None:
        self._watchdog.tick(process_sample(self.pid))
        if (fault := self._watchdog.fault) is not None:
            raise EngineHungError(fault)
        self.send(messages.Ping())

    async def stop(self) -> None:
        """End the process: politely, and after some seconds not."""
        self.send(messages.Stop())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wait(), self._stop_seconds)
        await self.kill()

    def interrupt(self) -> None:
        """End the process without waiting for it; `receive` tells when it is gone."""
        self._process.kill()

    async def kill(self) -> str:
        """End the process now, if it has not ended; returns how it did."""
        self._writer.close()
        self._process.kill()
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                return await self._fate()
        except TimeoutError:
            log.error("process %d does not end; it is left behind", self.pid)
            return "it does not end"

    async def _await_ready(self, opened: Callable[[], None]) -> None:
        loaded = False
        while True:
            match await self.receive():
                case messages.Logged() as line:
                    relay(line)
                case messages.Opened():
                    opened()
                case messages.Loaded():
                    loaded = True
                case messages.Ready(sizes, system_info, traits, missing):
                    self.sizes, self.system_info, self.traits = sizes, system_info, traits
                    self.missing_adapters.update(missing)
                    return
                case messages.StartFailed(message):
                    raise EngineStartError(message)
                case None if loaded:
                    raise FirstPromptDeathError(f"died in its first prompt ({await self._fate()})")
                case other:
                    said = "" if other is None else f", after it had said {other}"
                    raise EngineStartError(f"the engine ended while loading ({await self._fate()}{said})")

    async def _fate(self) -> str:
        status = await self._wait()
        if status >= 0:
            return f"exit status {status}"
        told = f"signal {-status}"
        with contextlib.suppress(ValueError):
            name = signal.Signals(-status)
            told = f"{told}, {name.name}; {_MEANINGS[name]}" if name in _MEANINGS else f"{told}, {name.name}"
        return told

    async def _wait(self) -> int:
        """Until the process has ended: its exit status.

        Asked again and again: a thread or a descriptor to wait with may be what the machine is short of.
        """
        pause = _FIRST_PAUSE
        while (status := self._process.poll()) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return status
