"""The engine's end of the socket to its server: what comes is passed on, what is to be told is sent."""

import contextlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable

from caravan.engine.block_events import BlockEvent
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest
from caravan.engine.engine import Engine
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.ipc import messages
from caravan.engine.kv.block_tracker import Watch
from caravan.engine.opening import change_adapters
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.llama.context import Context

log = logging.getLogger(__name__)

# How often a step without news is told.
_QUIET_SECONDS = 1.0
# How old what is known of the books may be while answers are written: telling them takes a few percent
# of a small model's step.
_STATS_SECONDS = 0.02


class ServerLink:
    """The server at the other end of the socket. Any thread may tell it something. What it wants is taken on
    a thread of its own from the beginning on: that answers while the model is loaded, and the end of the
    connection is the end of the process, even in the middle of a step.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._sending = threading.Lock()
        self._last_step = self._last_stats = 0.0
        self._blocks: tuple[BlockEvent, ...] = ()
        self.heart = HeartbeatClock()
        self.engine: Engine | EmbeddingEngine | None = None
        self.context: Context | None = None

    def receive(self) -> messages.ToEngine | None:
        """Wait for the next message; None when the server is gone."""
        prefix = self._reader.read(messages.LENGTH_SIZE)
        if len(prefix) < messages.LENGTH_SIZE:
            return None
        body = self._reader.read(messages.body_length(prefix))
        return messages.to_engine_decoder.decode(body)

    def send(self, message: messages.FromEngine) -> None:
        """Write a message, waiting while the server is slow."""
        frame = messages.encode(message)
        with self._sending:
            self._socket.sendall(frame)

    def tell_step(self, outputs: list[TokenOutput], stats: Callable[[], EngineStats]) -> None:
        """Send the news of a step; without any only once a second, as a sign of life.

        The books go with it where they may surprise: when an answer ends, and after a while.
        """
        now = time.monotonic()
        if not (outputs or self._blocks or now - self._last_step >= _QUIET_SECONDS):
            return
        self._last_step = now
        told = None
        if now - self._last_stats >= _STATS_SECONDS or any(output.finish_reason for output in outputs):
            self._last_stats, told = now, stats()
        blocks, self._blocks = self._blocks, ()
        self.send(messages.Stepped(outputs, told, blocks))

    def note_blocks(self, events: tuple[BlockEvent, ...]) -> None:
        """Have what became of blocks go with the next step's news."""
        self._blocks += events

    def tell_vectors(self, outputs: list[EmbedOutput]) -> None:
        """Send vectors that are made."""
        self.send(messages.Embedded(outputs))

    def listen(self) -> None:
        """Begin to take messages; those for the engine may come once there is one."""
        self.heart.begin()
        threading.Thread(target=self._listen, name="listener", daemon=True).start()

    def _listen(self) -> None:
        try:
            while True:
                message = self.receive()
                if isinstance(message, messages.Ping):
                    self.send(self.heart.pulse())
                else:
                    self._pass_on(message)
        except BaseException:
            # An engine that nobody can reach is of no use; it is started anew.
            log.exception("the engine cannot listen any more")
            os._exit(1)

    def _pass_on(self, message: messages.ToEngine | None) -> None:
        engine = self.engine
        if message is None or engine is None:
            os._exit(0)
        match message:
            case GenerationRequest():
                # One that stops has told its end to all, and the server knows.
                with contextlib.suppress(RuntimeError):
                    engine.submit(message)
            case EmbedRequest():
                engine.embed(message)
            case messages.Abort(request_id):
                engine.abort(request_id)
            case messages.EndThoughts(request_id):
                if isinstance(engine, Engine):
                    engine.end_thoughts(request_id)
            case messages.AddAdapter() | messages.RemoveAdapter():
                change_adapters(engine, self.context, message, self._tell_change)
            case messages.WatchBlocks() | messages.UnwatchBlocks():
                self._watch(engine, message)
            case _:
                engine.stop()

    def _tell_change(self, change: messages.AdapterChanged) -> None:
        """Answer, and have the next step tell the books, be there news or not: they have changed, too."""
        self._last_step = self._last_stats = -math.inf
        self.send(change)

    def _watch(
        self, engine: Engine | EmbeddingEngine, wish: messages.WatchBlocks | messages.UnwatchBlocks
    ) -> None:
        if not isinstance(engine, Engine):
            return
        match wish:
            case messages.WatchBlocks(root, block_size):
                engine.watch_blocks(Watch(root, block_size, self.note_blocks))
            case _:
                engine.watch_blocks(None)


class LogSender(logging.Handler):
    """Has the server log what is logged here, so that all lines come out in one form."""

    def __init__(self, server: ServerLink) -> None:
        super().__init__()
        self._server = server
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line (logging's protocol)."""
        # A server that is gone reads no lines, and this process is about to end.
        with contextlib.suppress(OSError):
            self._server.send(messages.Logged(record.name, record.levelno, self.format(record)))
