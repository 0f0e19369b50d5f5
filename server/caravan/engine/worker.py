"""The engine's process: loads the model, proves it with a first prompt, and works until its parent is gone.

Started by `caravan.runtime.children`, with the number of one end of a socket pair. A parent that dies closes
the other end, and that ends this process, wherever it is.
"""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from caravan.config.engine_config import FIRST_TOKENS, EngineConfig
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.embedding.factory import first_fault, make_embedder, traits_of
from caravan.engine.embedding.values import EmbedOutput, ModelTraits
from caravan.engine.engine import Engine
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.ipc import messages
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import Context, ContextError, DecodeStatus, NotGenerativeError
from caravan.llama.gguf_header import HeaderError
from caravan.llama.model import Model, ModelLoadError
from caravan.llama.model_file import WeightsChangedError, WeightsWatch
from caravan.runtime import gc_tuning
from caravan.runtime.machine import prefer_as_victim
from caravan.sizing.sizes import Sizes, resources, sizes_of

log = logging.getLogger(__name__)

# A step without news is told only now and then, as a sign of life.
_QUIET_SECONDS = 1.0


class FirstPromptError(Exception):
    """The build of llama.cpp computes nonsense for this model."""


class _Connection:
    """Frames over a socket: one thread reads, any may write."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._sending = threading.Lock()

    def receive(self) -> messages.ToEngine | None:
        """The next message; None when the parent is gone."""
        prefix = self._reader.read(messages.LENGTH_SIZE)
        if len(prefix) < messages.LENGTH_SIZE:
            return None
        body = self._reader.read(messages.body_length(prefix))
        return messages.to_engine_decoder.decode(body)

    def send(self, message: messages.FromEngine) -> None:
        """Write a message, waiting while the parent is slow."""
        frame = messages.encode(message)
        with self._sending:
            self._socket.sendall(frame)


class _LogSender(logging.Handler):
    """Has the parent log what is logged here, so that all lines come out in one form."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._connection = connection
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line (logging's protocol)."""
        # A parent that is gone reads no lines, and this process is about to end.
        with contextlib.suppress(OSError):
            self._connection.send(messages.Logged(record.name, record.levelno, self.format(record)))


class _Publisher:
    """Sends each step's news; steps without any only once a second."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._last_sent = 0.0

    def __call__(self, outputs: list[TokenOutput], stats: EngineStats) -> None:
        now = time.monotonic()
        if outputs or now - self._last_sent >= _QUIET_SECONDS:
            self._last_sent = now
            self._connection.send(messages.Stepped(outputs, stats))


def run_first_prompt(context: Context, batch_size: int) -> None:
    """Compute a prompt of some hundred tokens and look at the logits; raises FirstPromptError."""
    rng = np.random.default_rng(0)
    token_ids = rng.integers(0, context.vocab_size, min(FIRST_TOKENS, context.num_cells - 1)).tolist()
    batch = Batch(batch_size)
    for start in range(0, len(token_ids), batch_size):
        batch.clear()
        batch.add(0, start, token_ids[start : start + batch_size], wants_logits=True)
        if context.decode(batch) is not DecodeStatus.OK:
            raise FirstPromptError("llama.cpp cannot compute a first prompt")
        if not np.isfinite(context.logits()).all():
            raise FirstPromptError("the logits of a first prompt are not finite")
    context.clear()


class _Listener:
    """Takes messages on a thread of its own from the beginning on: it answers while the model is loaded, and
    the end of the connection is the end of the process, even in the middle of a step.
    """

    def __init__(self, connection: _Connection, heart: HeartbeatClock) -> None:
        self._connection = connection
        self._heart = heart
        self._engine: Engine | EmbeddingEngine | None = None

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="listener", daemon=True).start()

    def serve(self, engine: Engine | EmbeddingEngine) -> None:
        """Pass on to this engine from now on."""
        self._engine = engine

    def _run(self) -> None:
        try:
            while True:
                message = self._connection.receive()
                if isinstance(message, messages.Ping):
                    self._connection.send(self._heart.pulse())
                else:
                    self._pass_on(message)
        except BaseException:
            # An engine that nobody can reach is of no use; it is started anew.
            log.exception("the engine cannot listen any more")
            os._exit(1)

    def _pass_on(self, message: messages.ToEngine | None) -> None:
        engine = self._engine
        if message is None or engine is None:
            os._exit(0)
        match message:
            case messages.Submit(request):
                # One that stops has told its end to all, and the parent knows.
                with contextlib.suppress(RuntimeError):
                    engine.submit(request)
            case messages.Embed(request):
                engine.embed(request)
            case messages.Abort(request_id):
                engine.abort(request_id)
            case _:
                engine.stop()


class _Start(NamedTuple):
    """What goes through all of a start."""

    connection: _Connection
    listener: _Listener
    heart: HeartbeatClock
    weights: WeightsWatch


def _serve(start: _Start, config: EngineConfig) -> None:
    connection = start.connection
    sizes = sizes_of(config, resources())
    config = sizes.config
    for shortage in sizes.shortages:
        log.warning("%s: %s", Path(config.model_path).name, shortage)
    model = Model(
        config.model_path,
        num_gpu_layers=config.num_gpu_layers,
        use_extra_buffers=config.use_extra_buffers,
        opened=lambda: connection.send(messages.Opened()),
    )
    model.vocab.try_out()
    try:
        context = Context(
            model,
            num_cells=config.num_cells,
            batch_size=config.batch_size,
            max_sequences=config.max_sequences,
            num_threads=config.num_threads,
            num_spare_rows=config.num_spare_rows,
        )
    except NotGenerativeError:
        _serve_vectors(start, model, sizes)
    else:
        _serve_text(start, model, context, sizes)
        context.close()
    model.close()


def _serve_text(start: _Start, model: Model, context: Context, sizes: Sizes) -> None:
    connection, config = start.connection, sizes.config
    connection.send(messages.Loaded())
    start.heart.begin()
    run_first_prompt(context, config.batch_size)
    start.heart.beat()
    look = start.weights.look
    embedder = make_embedder(model, config, _sender(connection), is_whole=False, look_at_weights=look)
    engine = Engine(context, model.vocab, config, _Publisher(connection), embedder, start.heart, look)
    _work(start, engine, sizes, traits_of(model))


def _serve_vectors(start: _Start, model: Model, sizes: Sizes) -> None:
    connection = start.connection
    connection.send(messages.Loaded())
    start.heart.begin()
    look = start.weights.look
    embedder = make_embedder(model, sizes.config, _sender(connection), is_whole=True, look_at_weights=look)
    if fault := first_fault(model, sizes.config):
        raise FirstPromptError(fault)
    engine = EmbeddingEngine(embedder, _Publisher(connection), start.heart)
    _work(start, engine, sizes, traits_of(model, can_generate=False))


def _sender(connection: _Connection) -> Callable[[list[EmbedOutput]], None]:
    return lambda outputs: connection.send(messages.Embedded(outputs))


def _work(start: _Start, engine: Engine | EmbeddingEngine, sizes: Sizes, traits: ModelTraits) -> None:
    start.listener.serve(engine)
    start.connection.send(messages.Ready(sizes, library.system_info(), traits))
    gc_tuning.keep()
    engine.run()


def main() -> int:
    """Serve one model to the parent at the other end of the socket; returns the exit status."""
    prefer_as_victim()
    gc_tuning.look_rarely()
    connection = _Connection(socket.socket(fileno=int(sys.argv[1])))
    first = connection.receive()
    if not isinstance(first, messages.Load):
        return 0
    logging.basicConfig(level=first.log_level, handlers=[_LogSender(connection)])
    heart = HeartbeatClock()
    listener = _Listener(connection, heart)
    listener.start()
    try:
        # Before anything is read of it.
        weights = WeightsWatch(first.config.model_path)
        _serve(_Start(connection, listener, heart, weights), first.config)
    except WeightsChangedError:
        with contextlib.suppress(OSError):
            connection.send(messages.FileChanged())
        return 1
    except Exception as error:
        # A parent that has given up meanwhile may be what failed here.
        with contextlib.suppress(OSError):
            connection.send(messages.StartFailed(_told(error)))
        return 1
    return 0


def _told(error: Exception) -> str:
    """Why the engine cannot serve, on one line."""
    if isinstance(error, HeaderError | OSError | ModelLoadError | ContextError | FirstPromptError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is too little memory to load the model"
    log.error("the engine failed", exc_info=error)
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
