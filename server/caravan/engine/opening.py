"""A model's weights, context and adapters, opened in the engine's process as its config says."""

from collections.abc import Callable

from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.engine import EmbeddingEngine
from caravan.engine.engine import Engine
from caravan.engine.ipc import messages
from caravan.llama.adapter import AdapterError
from caravan.llama.context import Context, ContextError, NotGenerativeError
from caravan.llama.model import Model

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
            keeps_windows=config.keeps_windows,
            adapters=config.adapters,
        )
    except NotGenerativeError as error:
        if config.context.control_vectors:
            raise ContextError(f"{error}, and control vectors are for models that do") from error
        if config.adapters:
            raise AdapterError(_NO_TEXT) from error
        return None


def add_adapter(
    engine: Engine | EmbeddingEngine,
    context: Context | None,
    wish: messages.AddAdapter,
    tell: Callable[[messages.AdapterAdded], None],
) -> None:
    """Have the engine's thread load an adapter, and tell what came of it."""

    def add() -> None:
        tell(messages.AdapterAdded(wish.name, _fault_of(context, wish.name, wish.path)))

    if isinstance(engine, Engine):
        engine.between_steps(add)
    else:
        add()


def _fault_of(context: Context | None, name: str, path: str) -> str | None:
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
