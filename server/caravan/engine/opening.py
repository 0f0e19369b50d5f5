"""A model's weights, context and adapters, opened in the engine's process as its config says."""

import logging
from collections.abc import Callable, Iterable

from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.engine import Engine
from caravan.engine.ipc import messages
from caravan.engine.kv.scopes import adapters_of
from caravan.llama.adapter import AdapterError
from caravan.llama.context import Context, ContextError, NotGenerativeError
from caravan.llama.model import Model

log = logging.getLogger(__name__)

_NO_TEXT = "the model makes no text, and adapters are for texts"


def opened_model(config: EngineConfig, opened: Callable[[], None]) -> Model:
    """Load the weights; `opened` is called when the vocabulary has been read. Raises ModelLoadError."""
    return Model(
        config.model_path,
        num_gpu_layers=config.num_gpu_layers,
        use_extra_buffers=config.use_extra_buffers,
        weights=config.weights,
        opened=opened,
    )


def opened_context(model: Model, config: EngineConfig) -> Context | None:
    """Make what text is generated with; None for a model that makes vectors alone.

    Raises ContextError, AdapterError, HeaderError and OSError.
    """
    try:
        return Context(
            model,
            num_cells=config.num_cells,
            batch_size=config.batch_size,
            max_sequences=config.max_sequences,
            num_threads=config.num_threads,
            num_spare_rows=config.num_spare_rows,
            saves_ranges=config.disk_cache is not None,
            options=config.context,
            num_window_cells=config.num_window_cells,
            adapters=config.adapters,
        )
    except NotGenerativeError as error:
        if config.context.control_vectors:
            raise ContextError(f"{error}, and control vectors are for models that do") from error
        if config.adapters:
            raise AdapterError(_NO_TEXT) from error
        return None


def add_those_there(context: Context | None, added: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Load adapters that were added to an engine before this one; the names of those that cannot be, which
    are no reason to be without the model.
    """
    faults = {name: _fault_of_adding(context, name, path) for name, path in added}
    for name, fault in faults.items():
        if fault is not None:
            log.warning("the adapter '%s' is left out: %s", name, fault)
    return tuple(name for name, fault in faults.items() if fault is not None)


def change_adapters(
    engine: Engine | EmbeddingEngine,
    context: Context | None,
    wish: messages.AddAdapter | messages.RemoveAdapter,
    tell: Callable[[messages.AdapterChanged], None],
) -> None:
    """Have the engine's thread load or forget an adapter, and tell what came of it."""

    def change() -> None:
        if isinstance(wish, messages.AddAdapter):
            fault = _fault_of_adding(context, wish.name, wish.path)
        else:
            fault = _fault_of_removing(engine, context, wish.name)
        tell(messages.AdapterChanged(wish.name, fault))

    if isinstance(engine, Engine):
        engine.between_steps(change)
    else:
        change()


def _fault_of_adding(context: Context | None, name: str, path: str) -> str | None:
    """Load an adapter under a name; why that cannot be, or None."""
    if context is None:
        return _NO_TEXT
    if name in context.adapters:
        return f"there is an adapter '{name}' already"
    try:
        context.add_adapter(name, path)
    except AdapterError as error:
        return str(error)
    return None


def _fault_of_removing(engine: Engine | EmbeddingEngine, context: Context | None, name: str) -> str | None:
    """Forget an adapter, and what was computed with it; why that cannot be now, or None."""
    if context is None or not isinstance(engine, Engine) or name not in context.adapters:
        return None
    if not engine.forget(lambda scope: name in adapters_of(scope), uses=lambda lora: name in dict(lora)):
        return "some request uses it"
    context.remove_adapter(name)
    return None
