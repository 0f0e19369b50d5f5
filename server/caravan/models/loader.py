"""A model's two halves brought up side by side: the file opened here for its texts, the engine elsewhere."""

import asyncio
import contextlib
import dataclasses
import logging
from pathlib import Path

from caravan.chat.template_summary import TemplateSummary
from caravan.config.model_settings import ModelSettings
from caravan.llama.gguf_header import read_header
from caravan.llama.model import Model
from caravan.models.fingerprint import fingerprint
from caravan.models.loaded_model import LoadedModel, TextEngine
from caravan.models.public_prefixes import prefix_ids
from caravan.models.spec import ModelSpec
from caravan.models.templates import open_templates, sources_of
from caravan.runtime.threads import in_thread, to_the_end

log = logging.getLogger(__name__)


async def load(offer: ModelSpec) -> LoadedModel:
    """The model, its engine running. Raises what `offer.open` and `TextEngine.start` raise.

    There are files over which llama.cpp ends its process, so the engine opens it first.
    """
    engine = offer.make_engine()
    starting = asyncio.create_task(engine.start())
    opening: asyncio.Task[LoadedModel] | None = None
    try:
        await _opened(engine, starting)
        opening = asyncio.create_task(in_thread(offer.open, engine))
        await asyncio.wait([opening, starting], return_when=asyncio.FIRST_EXCEPTION)
        # The file's own fault says more than that of an engine that had to open the same file.
        model = await opening
        await starting
        # Only an engine that has started has tried the tokenizer, over which llama.cpp can end its process.
        public_prefixes = await in_thread(
            prefix_ids, offer.public_texts, model.vocab, model.template, model.bos_text
        )
    except BaseException:
        await to_the_end(_undo(engine, opening, starting))
        raise
    return dataclasses.replace(model, public_prefixes=public_prefixes)


async def _opened(engine: TextEngine, starting: asyncio.Task[None]) -> None:
    """Wait until the engine has opened the file, or raise what it fails with."""
    opened = asyncio.create_task(engine.opened())
    try:
        await asyncio.wait([starting, opened], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            await starting
    finally:
        opened.cancel()


async def _undo(
    engine: TextEngine, opening: asyncio.Task[LoadedModel] | None, starting: asyncio.Task[None]
) -> None:
    """Give back whatever came up. A thread cannot be cancelled, so what it opens is waited for."""
    starting.cancel()
    await asyncio.wait([task for task in (opening, starting) if task is not None])
    await engine.close()
    if opening is not None and not opening.cancelled() and opening.exception() is None:
        opening.result().close()
    if not starting.cancelled():
        starting.exception()


def open_texts(path: Path, name: str, settings: ModelSettings, engine: TextEngine) -> LoadedModel:
    """Open a model's file for its vocabulary and template; its weights are the engine's to load, and no text
    is tokenized yet. Raises HeaderError, ModelLoadError, TemplateSyntaxError, or OSError over a file.
    """
    with contextlib.ExitStack() as undo:
        # llama.cpp would end this process over some of what is refused here.
        read_header(path)
        model = Model(path, vocab_only=True)
        undo.callback(model.close)
        vocab = model.vocab
        sources = sources_of(settings, model)
        templates = open_templates(sources, settings.tool_format)
        undo.callback(templates.close)
        _tell(name, templates.summary)
        bos_text = sources.bos_token if vocab.adds_bos else ""
        return LoadedModel(
            id=name,
            vocab=vocab,
            template=templates.plain,
            tool_template=templates.tools,
            family=templates.family,
            engine=engine,
            bos_text=bos_text,
            metadata=model.metadata,
            operator_defaults=settings.defaults,
            fingerprint=fingerprint(path, sources.plain + (sources.tools or ""), settings),
            close=undo.pop_all().close,
        )


def _tell(name: str, summary: TemplateSummary) -> None:
    """Warn of what is guessed, and log what is adapted."""
    if summary.is_guess and summary.tools:
        log.warning(
            "%s: its chat template does not tell how the model writes tool calls; '%s' is a guess, which the "
            "option tool_format corrects",
            name,
            summary.tool_format,
        )
    for adaptation in summary.adaptations:
        log.info("%s: %s, as its chat template wants it", name, adaptation)
