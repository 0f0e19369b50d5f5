"""The engine's process: loads the model, proves it with a first prompt, and works until the server is gone.

Started by `caravan.runtime.children`, with the number of one end of a socket pair. A server that dies closes
the other end, and that ends this process, wherever it is.
"""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path

import numpy as np

from caravan.config.engine_config import FIRST_TOKENS, EngineConfig
from caravan.engine.block_events import BlockEvent
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.drafter import can_draft
from caravan.engine.drafts.loading import DraftModelError, load_draft_model
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.embedding.factory import first_fault, make_embedder, traits_of
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest
from caravan.engine.engine import Engine
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.ipc import messages
from caravan.engine.kv.block_tracker import Watch
from caravan.engine.kv.disk.opening import open_disk_cache
from caravan.engine.kv.reuse import prefix_reuse
from caravan.engine.media.mrope import PositionedContext
from caravan.engine.opening import add_those_there, change_adapters, opened_context, opened_model
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.llama import library
from caravan.llama.adapter import AdapterError
from caravan.llama.batch import Batch
from caravan.llama.context import Context, ContextError, DecodeStatus
from caravan.llama.gguf_header import HeaderError
from caravan.llama.model import Model, ModelLoadError
from caravan.llama.model_file import WeightsChangedError, WeightsWatch
from caravan.llama.rpc import RpcError
from caravan.llama.weight_params import use_numa
from caravan.runtime import gc_tuning
from caravan.runtime.machine import prefer_as_victim
from caravan.sizing.sizes import resources, sizes_of

log = logging.getLogger(__name__)

# How often a step without news is told.
_QUIET_SECONDS = 1.0


class FirstPromptError(Exception):
    """The build of llama.cpp computes nonsense for this model."""


class _Server:
    """The server at the other end of the socket. Any thread may tell it something. What it wants is taken on
    a thread of its own from the beginning on: that answers while the model is loaded, and the end of the
    connection is the end of the process, even in the middle of a step.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._reader = connection.makefile("rb")
        self._sending = threading.Lock()
        self._last_step = 0.0
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

    def tell_step(self, outputs: list[TokenOutput], stats: EngineStats) -> None:
        """Send the news of a step; without any only once a second, as a sign of life."""
        now = time.monotonic()
        if outputs or self._blocks or now - self._last_step >= _QUIET_SECONDS:
            self._last_step = now
            blocks, self._blocks = self._blocks, ()
            self.send(messages.Stepped(outputs, stats, blocks))

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
                change_adapters(engine, self.context, message, self.send)
            case messages.WatchBlocks() | messages.UnwatchBlocks():
                self._watch(engine, message)
            case _:
                engine.stop()

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


class _LogSender(logging.Handler):
    """Has the server log what is logged here, so that all lines come out in one form."""

    def __init__(self, server: _Server) -> None:
        super().__init__()
        self._server = server
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line (logging's protocol)."""
        # A server that is gone reads no lines, and this process is about to end.
        with contextlib.suppress(OSError):
            self._server.send(messages.Logged(record.name, record.levelno, self.format(record)))


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


def _serve(server: _Server, config: EngineConfig, weights: WeightsWatch) -> None:
    use_numa(config.weights.numa)
    sizes = sizes_of(config, resources(workers=config.rpc_workers))
    config = sizes.config
    for shortage in sizes.shortages:
        log.warning("%s: %s", Path(config.model_path).name, shortage)
    model = opened_model(config, lambda: server.send(messages.Opened()))
    model.vocab.try_out()
    context = opened_context(model, config)
    missing = add_those_there(context, config.added_adapters)
    server.send(messages.Loaded())
    server.heart.begin()
    draft = load_draft_model(config, model.vocab, context)
    draft_model = None if draft is None else draft.drafts
    engine = _proven_engine(server, model, context, config, weights, draft_model)
    server.engine, server.context = engine, context
    most = config.max_drafted if context is not None and can_draft(context) else 0
    reuse = None if context is None else prefix_reuse(context, config.checkpoint_bytes)
    traits = traits_of(model, can_generate=context is not None, max_drafted=most, prefix_reuse=reuse)
    server.send(messages.Ready(sizes, library.system_info(), traits, missing))
    gc_tuning.keep()
    engine.run()
    if draft is not None:
        draft.close()
    if context is not None:
        context.close()
    model.close()


def _proven_engine(
    server: _Server,
    model: Model,
    context: Context | None,
    config: EngineConfig,
    weights: WeightsWatch,
    draft_model: DraftModel | None,
) -> Engine | EmbeddingEngine:
    """An engine whose first prompt, or first vector, has come out well. Raises FirstPromptError."""
    embedder = make_embedder(
        model, config, server.tell_vectors, is_whole=context is None, look_at_weights=weights.look
    )
    if context is None:
        if fault := first_fault(model, config):
            raise FirstPromptError(fault)
        return EmbeddingEngine(embedder, server.tell_step, server.heart)
    # In the time of the first prompt: the first request under a constraint would wait for it otherwise, and
    # whatever runs beside.
    masks = MaskFactory(model.vocab.size, model.vocab)
    masks.read_ahead()
    run_first_prompt(context, config.batch_size)
    masks.wait()
    server.heart.beat()
    cells = PositionedContext(context) if config.has_projector and model.num_position_parts > 1 else context
    known = cells, model.vocab, config, server.tell_step, embedder, server.heart, weights.look
    disk = open_disk_cache(config, cells.ranges)
    return Engine(*known, draft_model, masks, disk)


def main() -> int:
    """Serve one model to the server at the other end of the socket; returns the exit status."""
    prefer_as_victim()
    gc_tuning.look_rarely()
    server = _Server(socket.socket(fileno=int(sys.argv[1])))
    first = server.receive()
    if not isinstance(first, messages.Load):
        return 0
    logging.basicConfig(level=first.log_level, handlers=[_LogSender(server)])
    server.listen()
    try:
        # Before anything is read of it.
        weights = WeightsWatch(first.config.model_path)
        _serve(server, first.config, weights)
    except WeightsChangedError:
        with contextlib.suppress(OSError):
            server.send(messages.FileChanged())
        return 1
    except Exception as error:
        # A server that has given up meanwhile may be what failed here.
        with contextlib.suppress(OSError):
            server.send(messages.StartFailed(_told(error)))
        return 1
    return 0


_TOLD = (
    HeaderError,
    OSError,
    ModelLoadError,
    AdapterError,
    ContextError,
    FirstPromptError,
    DraftModelError,
    RpcError,
)


def _told(error: Exception) -> str:
    """Why the engine cannot serve, on one line."""
    if isinstance(error, _TOLD):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is too little memory to load the model"
    log.error("the engine failed", exc_info=error)
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
