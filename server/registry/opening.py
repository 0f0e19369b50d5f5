"""A model's two halves brought up side by side: the file opened here for its texts, the engine elsewhere."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from server.chat.families import recognise
from server.chat.template import CHATML, ChatTemplate
from server.llama.model import Model, ModelLoadError
from server.llama.vocab import Vocab
from server.loaded_model import LoadedModel, TextEngine
from server.model_settings import ModelSettings
from server.registry.fingerprint import fingerprint
from server.registry.offer import ModelOffer
from server.registry.public_prefixes import prefix_ids

log = logging.getLogger(__name__)


async def load(offer: ModelOffer) -> LoadedModel:
    """The model, its engine running. Raises what `offer.open` and `TextEngine.start` raise."""
    engine = offer.make_engine()
    opening = asyncio.create_task(asyncio.to_thread(offer.open, engine))
    starting = asyncio.create_task(engine.start())
    try:
        await asyncio.wait([opening, starting], return_when=asyncio.FIRST_EXCEPTION)
        # The file's own fault says more than that of an engine that had to open the same file.
        model = await opening
        await starting
    except BaseException:
        await _undo(engine, opening, starting)
        raise
    return model


async def _undo(engine: TextEngine, opening: asyncio.Task[LoadedModel], starting: asyncio.Task[None]) -> None:
    """Give back whatever came up. A thread cannot be cancelled, so what it opens is waited for."""
    starting.cancel()
    await asyncio.wait([opening, starting])
    await engine.close()
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
    if not starting.cancelled():
        starting.exception()


def open_texts(
    path: Path, name: str, settings: ModelSettings, public_texts: Sequence[str], engine: TextEngine
) -> LoadedModel:
    """Open a model's file for its vocabulary and template; its weights are the engine's to load.

    Prompts that begin with one of `public_texts` share it in memory. Raises ModelLoadError,
    TemplateSyntaxError, or OSError over the template's file.
    """
    model = _vocabulary(path)
    try:
        vocab = model.vocab
        template = _template(settings, model)
        bos_text = _token_text(vocab, vocab.bos_id) if vocab.adds_bos else ""
        return LoadedModel(
            id=name,
            vocab=vocab,
            template=template,
            family=recognise(template.source, settings.tool_format),
            engine=engine,
            bos_text=bos_text,
            metadata=model.metadata,
            operator_defaults=settings.defaults,
            public_prefixes=prefix_ids(public_texts, vocab, template, bos_text),
            fingerprint=fingerprint(path, template.source, settings),
            close=model.close,
        )
    except BaseException:
        model.close()
        raise


def _vocabulary(path: Path) -> Model:
    """The file without its weights; a refusal says what llama.cpp logged first about it."""
    reasons = _Reasons()
    native_log = logging.getLogger("llama.cpp")
    native_log.addFilter(reasons)
    try:
        return Model(path, vocab_only=True)
    except ModelLoadError as error:
        if not reasons.lines:
            raise
        raise ModelLoadError(f"{error} ({reasons.lines[0]})") from error
    finally:
        native_log.removeFilter(reasons)


def _template(settings: ModelSettings, model: Model) -> ChatTemplate:
    if settings.chat_template is not None:
        source = settings.chat_template.expanduser().read_text(encoding="utf-8")
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


class _Reasons(logging.Filter):
    """Holds back the errors that llama.cpp logs on this thread; the first is why it failed."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.lines: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Take errors, let the rest pass."""
        if record.levelno < logging.ERROR or record.thread != self._thread:
            return True
        self.lines.append(record.getMessage())
        return False
