"""One life of an engine process, seen from the asyncio side."""

import asyncio
import contextlib
import logging
import os
import socket
import sys

from server.engine import messages
from server.engine.config import EngineConfig
from server.engine.embedding import ModelTraits
from server.engine.sizing import Sizes

_STOP_SECONDS = 5.0
# llama.cpp's threads meet at barriers some hundred times a step. By default GNU OpenMP spins there for
# milliseconds, and any other process on the machine then slows a step down twentyfold. A thirtieth of the
# default's count is as fast on a quiet machine and loses little on a busy one.
_SPIN_BRIEFLY = {"GOMP_SPINCOUNT": "10000"}


class EngineStartError(Exception):
    """The engine's process cannot serve its model."""


class FirstPromptDeathError(EngineStartError):
    """The process died while computing its first prompt, as builds with broken matrix kernels do."""


def relay(line: messages.Logged) -> None:
    """Log what the child has to say as if it were said here."""
    logging.getLogger(line.name).log(line.level, "%s", line.text)


class EngineChild:
    """A running engine process. `sizes` are those it really uses."""

    module = "server.engine.process"

    def __init__(
        self,
        process: asyncio.subprocess.Process,
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
        """Spawn a process and wait until it has computed its first prompt.

        Raises EngineStartError, or FirstPromptDeathError where other kernels may help.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            # Before the process: whoever cancels this would otherwise leave it behind.
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", cls.module, str(theirs.fileno())),
                    pass_fds=[theirs.fileno()],
                    env=_SPIN_BRIEFLY | os.environ,
                )
            except BaseException:
                writer.close()
                raise
        child = cls(process, reader, writer)
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
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        await self.kill()

    async def kill(self) -> int:
        """End the process now, if it has not ended; returns its exit status, negative for a signal."""
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()

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
        status = await self._process.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"
