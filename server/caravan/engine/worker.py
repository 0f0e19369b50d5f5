"""The engine's process: loads the model, proves it with a first prompt, and works until the server is gone.

Started by `caravan.runtime.children`, with the number of one end of a socket pair. A server that dies closes
the other end, and that ends this process, wherever it is.
"""

import contextlib
import logging
import socket
import sys
from pathlib import Path

import msgspec
import numpy as np

from caravan.config.engine_config import FIRST_TOKENS, EngineConfig
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.drafter import can_draft
from caravan.engine.drafts.loading import DraftModelError, load_draft_model
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.embedding.factory import first_fault, make_embedder, traits_of
from caravan.engine.engine import Engine
from caravan.engine.ipc import messages
from caravan.engine.kv.disk.opening import open_disk_cache
from caravan.engine.kv.reuse import prefix_reuse
from caravan.engine.media.mrope import PositionedContext
from caravan.engine.opening import add_those_there, opened_context, opened_model
from caravan.engine.server_link import LogSender, ServerLink
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
from caravan.runtime.machine import prefer_as_victim, raise_file_limit
from caravan.sizing.sizes import resources, sizes_of

log = logging.getLogger(__name__)

# Images of requests that run and wait have a file each.
_MOST_FILES = 1 << 16


class FirstPromptError(Exception):
    """The build of llama.cpp computes nonsense for this model."""


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


def _serve(server: ServerLink, config: EngineConfig, weights: WeightsWatch) -> None:
    use_numa(config.weights.numa)
    if config.has_projector:
        raise_file_limit(_MOST_FILES)
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
    traits = msgspec.structs.replace(traits, most_at_once=config.batch_size)
    server.send(messages.Ready(sizes, library.system_info(), traits, missing))
    gc_tuning.keep()
    engine.run()
    if draft is not None:
        draft.close()
    if context is not None:
        context.close()
    model.close()


def _proven_engine(
    server: ServerLink,
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
    server = ServerLink(socket.socket(fileno=int(sys.argv[1])))
    first = server.receive()
    if not isinstance(first, messages.Load):
        return 0
    logging.basicConfig(level=first.log_level, handlers=[LogSender(server)])
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
