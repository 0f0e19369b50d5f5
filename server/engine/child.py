"""One life of an engine process, seen from the asyncio side."""

import asyncio
import contextlib
import logging
import subprocess

from server.engine import launch, messages
from server.engine.config import EngineConfig
from server.engine.embedding import ModelTraits
from server.engine.sizing import Sizes

_STOP_SECONDS = 5.0


class EngineStartError(Exception):
    """The engine's process cannot serve its model."""


class FirstPromptDeathError(EngineStartError):
    """The process died while computing its first prompt, as builds with broken matrix kernels do."""


def relay(line: messages.Logged) -> None:
    """Log what the child has to say as if it were said here."""
    message, _, trace = line.text.partition("\n")
    logging.getLogger(line.name).log(line.level, "%s", message, extra={"trace": trace})


class EngineChild:
    """A running engine process. `sizes` are those it really uses."""

    module = launch.MODULE

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.sizes: Sizes
        self.traits = ModelTraits()
        self.system_info = ""

    @classmethod
    async def start(cls, config: EngineConfig, log_level: int) -> "EngineChild":
        """Have a process load the model, and wait until it has computed its first prompt.

        Raises EngineStartError, or FirstPromptDeathError where other kernels may help.
        """
        launched = launch.take(cls.module)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=launched.connection)
        except BaseException:
            launched.connection.close()
            raise
        child = cls(launched.process, reader, writer)
        try:
            child.send(messages.Load(config, log_level))
            await child._await_ready()
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
        """The next message; None once the process is gone."""
        try:
            prefix = await self._reader.readexactly(messages.LENGTH_SIZE)
            body = await self._reader.readexactly(messages.body_length(prefix))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return messages.from_engine_decoder.decode(body)

    async def stop(self) -> None:
        """End the process: politely, and after a few seconds not."""
        self.send(messages.Stop())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wait(), _STOP_SECONDS)
        await self.kill()

    async def kill(self) -> int:
        """End the process now, if it has not ended; returns its exit status, negative for a signal."""
        self._writer.close()
        self._process.kill()
        return await self._wait()

    async def _await_ready(self) -> None:
        loaded = False
        while True:
            match await self.receive():
                case messages.Logged() as line:
                    relay(line)
                case messages.Loaded():
                    loaded = True
                case messages.Ready(sizes, system_info, traits):
                    self.sizes, self.system_info, self.traits = sizes, system_info, traits
                    return
                case messages.StartFailed(message):
                    raise EngineStartError(message)
                case None if loaded:
                    raise FirstPromptDeathError(f"died in its first prompt ({await self._fate()})")
                case other:
                    raise EngineStartError(f"the engine ended while loading ({await self._fate()}, {other})")

    async def _fate(self) -> str:
        status = await self._wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    async def _wait(self) -> int:
        """Until the process has ended: its exit status."""
        return await asyncio.to_thread(self._process.wait)
