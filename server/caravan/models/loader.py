"""A model that can be loaded, and how: the file opened here for its texts, its engine started beside that."""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from caravan.auth.principal import Principal
from caravan.chat.template_summary import TemplateSummary
from caravan.config.model_settings import ModelSettings
from caravan.llama import library
from caravan.llama.gguf_header import part_paths, read_header
from caravan.llama.model import Model
from caravan.llama.model_file import add_file
from caravan.media.values import MediaEncoder
from caravan.models.file_facts import FileFacts
from caravan.models.loaded_model import LoadedModel, TextEngine
from caravan.models.public_prefixes import prefix_ids
from caravan.models.templates import open_templates, sources_of
from caravan.runtime.threads import cancel_and_wait, in_thread, to_the_end
from caravan.sizing.sizes import Need
from caravan.version import version

log = logging.getLogger(__name__)

# What a model is called, when it is loaded, how long requests wait and where idle sequences are kept: none of
# it changes a text. The template counts by its words, wherever they are from.
_WITHOUT_EFFECT = {
    "path",
    "id",
    "aliases",
    "preload",
    "pinned",
    "chat_template",
    "draft_model",
    "host_cache_tokens",
    "checkpoint_bytes",
    "idle_unload",
    "load_mode",
    "numa",
    "max_waiting",
    "queue_seconds",
    "sampling_threads",
    # By what is in the file.
    "mmproj",
}


@dataclass(frozen=True)
class ContextLength:
    """Tokens of a prompt and its answer: as served here, and as trained with. None is unknown."""

    size: int | None = None
    trained: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What is known of a model that need not be loaded, and the two halves of loading it.

    Names of `adapters` stand for it with one of these. It may be unloaded after `idle_unload` seconds without
    a request; 0 is never.

    `make_engine` makes an engine that has not started. `open` opens the file for the web side,
    `estimate_need` tells how much memory the model will take, and `read_metadata` what the file says
    of itself; of a file that cannot be read, nothing. `read_context` foresees how long texts may be, and
    `try_templates` what the chat templates support. `check_file` reads the file's header and raises
    HeaderError or OSError over it, and over options that it cannot have. `read_facts` tells what lists of
    models show of the file. These seven take time and belong into a thread. Prompts that begin with one of
    `public_texts` share it in memory. `start_encoder` is there where the model has a projector.
    `adapted` makes the spec with other adapters, by names and files; `adapter_files` are those now.
    """

    id: str
    aliases: tuple[str, ...] = ()
    created: int
    preload: bool = False
    pinned: bool = False
    idle_unload: float = 0.0
    operator_defaults: Mapping[str, object] = field(default_factory=dict)
    public_texts: tuple[str, ...] = ()
    estimate_need: Callable[[], Need]
    make_engine: Callable[[], TextEngine]
    open: Callable[[TextEngine], LoadedModel]
    read_metadata: Callable[[], Mapping[str, str]]
    read_context: Callable[[], ContextLength]
    try_templates: Callable[[], TemplateSummary]
    check_file: Callable[[], object] = lambda: None
    read_facts: Callable[[], FileFacts] = FileFacts
    adapter_files: Mapping[str, Path] = field(default_factory=dict)
    start_encoder: Callable[[], Awaitable[MediaEncoder | None]] | None = None
    adapted: "Callable[[Mapping[str, Path]], ModelSpec] | None" = None

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of its adapters."""
        return tuple(self.adapter_files)

    def may_stay(self, seconds: float) -> bool:
        """Whether it can be loaded for so long, and no longer, without a request; below 0 is for ever."""
        if self.pinned:
            return seconds < 0
        return not self.idle_unload or 0 <= seconds <= self.idle_unload

    def usable_names(self, principal: Principal) -> list[str]:
        """What lists show a caller of it: the model, if it may be used, and adapters behind it."""
        names = (self.id, *self.adapters)
        return [name for name in names if principal.may_use(self.id, *self.aliases, name)]


async def load(spec: ModelSpec, checks: Iterable[Callable[[LoadedModel], None]] = ()) -> LoadedModel:
    """The model, its engine running. Raises what `spec.open`, `TextEngine.start` and the checks raise.

    There are files over which llama.cpp ends its process, so the engine opens it first.
    """
    engine = spec.make_engine()
    starting = asyncio.create_task(engine.start())
    opening: asyncio.Task[LoadedModel] | None = None
    encoding = asyncio.create_task(_encoder_of(spec))
    try:
        await _opened(engine, starting)
        opening = asyncio.create_task(in_thread(spec.open, engine))
        await asyncio.wait([opening, starting], return_when=asyncio.FIRST_EXCEPTION)
        # The file's own fault says more than that of an engine that had to open the same file.
        model = await opening
        await starting
        # Only an engine that has started has tried the tokenizer, over which llama.cpp can end its process.
        public_prefixes = await in_thread(
            prefix_ids, spec.public_texts, model.vocab, model.template, model.bos_text
        )
        model = replace(model, public_prefixes=public_prefixes, encoder=await encoding or model.encoder)
        for check in checks:
            await in_thread(check, model)
    except BaseException:
        await to_the_end(_undo(engine, opening, starting))
        await to_the_end(_undo_encoder(encoding))
        raise
    return model


async def _encoder_of(spec: ModelSpec) -> MediaEncoder | None:
    return None if spec.start_encoder is None else await spec.start_encoder()


async def _undo_encoder(encoding: asyncio.Task[MediaEncoder | None]) -> None:
    """End the encoder, whether it has started or not."""
    await cancel_and_wait(encoding)
    if not encoding.cancelled() and encoding.exception() is None:
        encoder = encoding.result()
        if encoder is not None:
            await encoder.close()


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


def open_texts(
    path: Path,
    name: str,
    settings: ModelSettings,
    adapters: Iterable[str],
    projector: Path | None,
    engine: TextEngine,
) -> LoadedModel:
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
            separator_ids=vocab.separator_ids,
            fingerprint=fingerprint(path, sources.plain + (sources.tools or ""), settings, projector),
            names=(name, *settings.aliases),
            adapters=tuple(adapters),
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


def fingerprint(path: Path, template: str, settings: ModelSettings, projector: Path | None = None) -> str:
    """A digest of all that decides on a model's texts: files, llama.cpp, our version, template and options.

    Reads a few hundred pages of the file.
    """
    digest = hashlib.sha256()
    # One that is gone since it was found is no part of the model any more.
    beside = (projector,) if projector is not None and projector.exists() else ()
    for part in (*part_paths(path), *settings.lora.values(), *beside):
        add_file(digest, part)
    options = settings.model_dump(mode="json", exclude=_WITHOUT_EFFECT)
    told = [library.build(), version(), template, options]
    digest.update(json.dumps(told, sort_keys=True).encode())
    return digest.hexdigest()
