"""A model's weights and its context, opened in the engine's process as its config says."""

from collections.abc import Callable

from caravan.config.engine_config import EngineConfig
from caravan.llama.context import Context, ContextError, NotGenerativeError
from caravan.llama.model import Model


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

    Raises ContextError, HeaderError and OSError.
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
        )
    except NotGenerativeError as error:
        if config.context.control_vectors:
            raise ContextError(f"{error}, and control vectors are for models that do") from error
        return None
