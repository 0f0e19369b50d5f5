"""The draft model's file: opened beside the model's own, if it speaks of the same tokens."""

import contextlib
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.drafter import can_draft
from caravan.engine.interfaces import DecodingContext
from caravan.llama.context import Context, NotGenerativeError
from caravan.llama.model import Model
from caravan.llama.vocab import Vocab
from caravan.sizing.draft_memory import draft_context, draft_weights

# Of the time of a step, what the draft model may take to read texts that are new to it.
_READING_SHARE = 0.5


class DraftModelError(Exception):
    """The file is no draft model for this model; the message is one line."""


def load_draft_model(
    config: EngineConfig, vocab: Vocab, context: DecodingContext | None
) -> "LoadedDraftModel | None":
    """Load what the config names as a draft model for one whose texts are in `context`; None without a name.

    Raises what `LoadedDraftModel` does, and DraftModelError where there would be no drafts.
    """
    if not config.draft_model_path:
        return None
    if context is None or not can_draft(context):
        raise DraftModelError(
            f"{_name(config.model_path)} has no use for a draft model: "
            + ("it makes no text" if context is None else "its memory cannot be cut where a guess was wrong")
        )
    return LoadedDraftModel(config, vocab)


class LoadedDraftModel:
    """Owns the draft model's weights and cells, as many as the model has. Close it before the model.

    Raises DraftModelError, ModelLoadError and ContextError.
    """

    def __init__(self, config: EngineConfig, vocab: Vocab) -> None:
        with contextlib.ExitStack() as undo:
            is_on_gpus = config.num_gpu_layers != 0
            model = Model(
                config.draft_model_path,
                num_gpu_layers=-1 if is_on_gpus else 0,
                weights=draft_weights(config),
            )
            undo.callback(model.close)
            self._check_vocabulary(config, model, vocab)
            context = _context(config, model)
            undo.callback(context.close)
            if not context.can_cut:
                raise DraftModelError(
                    f"{_name(config.draft_model_path)} cannot be a draft model: its memory of a text cannot "
                    "be cut where a guess was wrong"
                )
            self.drafts = DraftModel(
                context,
                config.batch_size,
                vocab.end_of_generation_ids,
                config.step_seconds * _READING_SHARE,
            )
            self._exit = undo.pop_all()

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        self._exit.close()

    @staticmethod
    def _check_vocabulary(config: EngineConfig, model: Model, vocab: Vocab) -> None:
        difference = vocab.difference(model.vocab)
        if difference is not None:
            raise DraftModelError(
                f"{_name(config.draft_model_path)} cannot be the draft model of {_name(config.model_path)}: "
                f"it has {difference}"
            )


def _context(config: EngineConfig, model: Model) -> Context:
    try:
        return Context(
            model,
            num_cells=config.num_cells,
            batch_size=config.batch_size,
            max_sequences=config.max_running,
            num_threads=config.num_threads,
            options=draft_context(config),
        )
    except NotGenerativeError as error:
        raise DraftModelError(f"{_name(config.draft_model_path)} cannot be a draft model: {error}") from error


def _name(path: str) -> str:
    return Path(path).name
