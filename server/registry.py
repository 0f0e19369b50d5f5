"""The models this server has: opened from their files, started, found by name."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from server import resident
from server.chat.template import CHATML, ChatTemplate
from server.engine.client import AsyncEngine
from server.engine.config import EngineConfig
from server.errors import EngineUnavailableError, ModelNotFoundError
from server.llama.model import Model
from server.llama.vocab import Vocab
from server.loaded_model import LoadedModel, TextEngine
from server.settings import Settings

RESIDENT_ID = "caravan-resident"

log = logging.getLogger(__name__)

# Advice to clients that come while a model loads; loading takes seconds to a minute.
_LOADING_RETRY_SECONDS = 5


class ModelRegistry:
    """All served models by name. One is loaded today; nothing above this class knows that."""

    def __init__(self, models: Iterable[LoadedModel]) -> None:
        self._models = tuple(models)
        self._by_name = {name: model for model in self._models for name in (model.id, *model.aliases)}
        self._started: set[str] = set()

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """All models, those still loading included."""
        return self._models

    @property
    def is_ready(self) -> bool:
        """Whether every model would take a request now."""
        return all(model.id in self._started and model.engine.is_ready for model in self._models)

    async def start(self) -> None:
        """Bring all engines up; raises EngineStartError."""
        for model in self._models:
            await model.engine.start()
            self._started.add(model.id)

    async def close(self) -> None:
        """End all engines."""
        self._started.clear()
        await asyncio.gather(*(model.engine.close() for model in self._models))

    def find(self, name: str) -> LoadedModel:
        """The model that `name` stands for, ready or not."""
        model = self._by_name.get(name)
        if model is None:
            served = ", ".join(f"'{known.id}'" for known in self._models)
            raise ModelNotFoundError(
                f"The model '{name[:200]}' does not exist. This server has {served}.", param="model"
            )
        return model

    def acquire(self, name: str) -> LoadedModel:
        """The model that `name` stands for, able to take requests."""
        model = self.find(name)
        if model.id not in self._started:
            raise EngineUnavailableError("the model is loading", retry_after=_LOADING_RETRY_SECONDS)
        return model


def open_model(
    settings: Settings, make_engine: Callable[[EngineConfig], TextEngine] = AsyncEngine
) -> LoadedModel:
    """Open a model's file for its vocabulary and template; its weights are the engine's to load.

    Raises ModelLoadError, TemplateSyntaxError, or OSError over the template's file. The vocabulary stays open
    as long as the process.
    """
    path = settings.model or resident.model_path()
    model = Model(path, vocab_only=True)
    return LoadedModel(
        id=settings.model_id or _default_id(settings, path),
        aliases=tuple(settings.model_aliases),
        created=int(os.stat(path).st_mtime),
        vocab=model.vocab,
        template=_template(settings, model),
        engine=make_engine(_engine_config(settings, path)),
        bos_text=_token_text(model.vocab, model.vocab.bos_id) if model.vocab.adds_bos else "",
        metadata=model.metadata,
    )


def _default_id(settings: Settings, path: Path) -> str:
    return RESIDENT_ID if settings.model is None else path.stem


def _engine_config(settings: Settings, path: Path) -> EngineConfig:
    return EngineConfig(
        model_path=os.fspath(path),
        context_size=settings.context_size,
        num_cells=settings.kv_cells,
        num_parked_tokens=settings.kv_parked,
        batch_size=settings.batch_size,
        max_sequences=settings.max_sequences,
        max_running=settings.max_running,
        num_threads=settings.threads,
        num_gpu_layers=settings.gpu_layers,
    )


def _template(settings: Settings, model: Model) -> ChatTemplate:
    if settings.chat_template is not None:
        source = settings.chat_template.read_text(encoding="utf-8")
    elif model.chat_template is not None:
        source = model.chat_template
    else:
        log.warning("%s has no chat template; chats use ChatML, which the model may not know", model.path)
        source = CHATML
    vocab = model.vocab
    return ChatTemplate(
        source, bos_token=_token_text(vocab, vocab.bos_id), eos_token=_token_text(vocab, vocab.eos_id)
    )


def _token_text(vocab: Vocab, token_id: int | None) -> str:
    return "" if token_id is None else vocab.token_text(token_id)
