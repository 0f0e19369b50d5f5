"""Which models there are, by the settings, in a folder and among the pulled ones: a `ModelSpec` each."""

import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from caravan.chat.tool_formats.registry import FORMATS
from caravan.config.engine_config import DiskCacheConfig, EngineConfig
from caravan.config.load import flag
from caravan.config.media_options import MediaOptions
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.llama.gguf_header import GgufHeader, HeaderError, model_stem, read_header
from caravan.llama.projector import ProjectorError
from caravan.models import resident
from caravan.models.context_reader import ContextReader
from caravan.models.engine_config import engine_config, gpu_budget, memory_budget, need_of
from caravan.models.eviction import Limits
from caravan.models.file_facts import FactsReader
from caravan.models.loaded_model import TextEngine
from caravan.models.loader import ModelSpec, open_texts
from caravan.models.local_models import ModelPathError, find_model, first_parts
from caravan.models.projectors import EncoderStarter, ProjectorFile, projector_of
from caravan.models.public_prefixes import PublicPrefixError, read_texts
from caravan.models.registry import ModelRegistry
from caravan.models.templates import tried
from caravan.sizing.llama_checks import check_model

log = logging.getLogger(__name__)

MakeEngine = Callable[[EngineConfig], TextEngine]

# Files that are made to go with a model, and are none.
_COMPANIONS = ("adapter", "mmproj", "imatrix", "vocab")


class CatalogError(Exception):
    """The models that the operator named cannot be served; the message is one line."""


def model_specs(settings: Settings, make_engine: MakeEngine = AsyncEngine) -> list[ModelSpec]:
    """All models that these settings name; the resident one where they name none.

    Raises CatalogError. A file of the models' folder that is no sound model is passed over with a warning.
    """
    named = [table.completed(settings) for table in settings.models]
    for index, table in enumerate(named):
        if (fault := table.contradiction()) is not None:
            raise CatalogError(f"models[{index}]: {fault}")
    if settings.serves_single:
        named.insert(0, _single(settings))
    else:
        _check_unused(settings)
    places = [_located(table.path, settings.data_dir.expanduser()) for table in named]
    spec = functools.partial(
        _spec,
        public_texts=_public_texts(settings),
        data_dir=settings.data_dir.expanduser(),
        budget=memory_budget(settings),
        disk_cache=settings.disk_cache,
        make_engine=make_engine,
        media=settings,
    )
    found = [spec(table.id or name, path, table) for table, (path, name) in zip(named, places, strict=True)]
    if settings.models_dir is not None:
        known = {path.resolve() for path, _ in places}
        taken = {name for spec in found for name in (spec.id, *spec.aliases, *spec.adapters)}
        for name, header in _of_folder(settings.models_dir.expanduser(), known, taken):
            table = ModelSettings(path=header.path).completed(settings)
            found.append(spec(name, header.path, table, header=header))
    if not found:
        raise CatalogError(f"{settings.models_dir}: there is no model that could be served in this folder")
    _check_names(found)
    return found


def registry_of(settings: Settings) -> ModelRegistry:
    """The models of these settings, within their limits. Raises CatalogError."""
    if settings.prefix_cache_dir is not None:
        _check_writable(settings.prefix_cache_dir.absolute())
    limits = Limits(
        max_loaded=settings.max_loaded, memory_budget=memory_budget(settings), gpu_budget=gpu_budget()
    )
    return ModelRegistry(
        model_specs(settings),
        limits,
        load_wait_seconds=settings.load_wait_seconds,
        stay_seconds=settings.model_stay_seconds,
    )


def _check_writable(folder: Path) -> None:
    """Raise CatalogError where a folder could not be made, or nothing in it."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    fault = None
    if not nearest.is_dir():
        fault = f"{nearest} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        fault = f"this process may not write to {nearest}"
    if fault is not None:
        raise CatalogError(f"--prefix-cache-dir {folder}: {fault}")


def _check_unused(settings: Settings) -> None:
    """Raise CatalogError over what is said of the model of `--model`, where there is no such model."""
    unused = (
        ("model_id", "names"),
        ("model_aliases", "names"),
        ("chat_template", "is for"),
        ("draft_model", "is for"),
        ("mmproj", "is for"),
    )
    for name, what in unused:
        if getattr(settings, name):
            raise CatalogError(f"{flag(name)} {what} the model of --model, and no model is named that way")


def _single(settings: Settings) -> ModelSettings:
    """The model of `--model`, loaded at the start; the resident one where there is no such option."""
    return ModelSettings(
        path=settings.model or resident.model_path(),
        id=settings.model_id or (resident.RESIDENT_ID if settings.model is None else None),
        aliases=settings.model_aliases,
        chat_template=settings.chat_template,
        draft_model=settings.draft_model,
        mmproj=settings.mmproj,
        preload=True,
    ).completed(settings)


def _located(path: Path, data_dir: Path) -> tuple[Path, str]:
    """A model's file, and what it is called unless somebody names it."""
    try:
        found = find_model(path, data_dir)
    except ModelPathError as error:
        raise CatalogError(str(error)) from error
    return found.path, found.name


def _of_folder(folder: Path, known: set[Path], taken: set[str]) -> Iterator[tuple[str, GgufHeader]]:
    """Every model of a folder and those in it, called by its file, or by its path where two are the same.

    Files that are `known` have been offered under another name, and names that are `taken` are others'.
    """
    if not folder.is_dir():
        raise CatalogError(f"no such folder: {folder}")
    paths = filter(_can_be_named, sorted(first_parts(folder.rglob("*.gguf"))))
    files = [path for path in paths if path.resolve() not in known]
    sound = [header for path in files if (header := _sound(path)) is not None]
    counts = Counter(model_stem(header.path) for header in sound)
    for header in sound:
        name = model_stem(header.path)
        if counts[name] > 1 or name in taken:
            name = header.path.relative_to(folder).with_name(name).as_posix()
        yield name, header


def _can_be_named(path: Path) -> bool:
    """Whether a file has a name that clients can send, and is no link that leads back to itself."""
    try:
        str(path).encode()
        path.resolve()
    except (OSError, RuntimeError, UnicodeEncodeError) as error:
        log.warning("passed over: %s: %s", ascii(str(path)), error)
        return False
    return True


def _sound(path: Path) -> GgufHeader | None:
    """The header of a file that is a model; None for others, with a word in the log."""
    try:
        header = read_header(path)
    except (HeaderError, OSError) as error:
        log.warning("passed over: %s", error)
        return None
    is_companion = header.text("general.type") in _COMPANIONS or header.architecture == "clip"
    if is_companion or not header.num_tensors:
        log.info("%s is no model that generates text; passed over", path)
        return None
    return header


def _public_texts(settings: Settings) -> tuple[str, ...]:
    try:
        return read_texts(settings.public_prefixes)
    except PublicPrefixError as error:
        raise CatalogError(str(error)) from error


def _spec(
    name: str,
    path: Path,
    table: ModelSettings,
    *,
    public_texts: tuple[str, ...],
    data_dir: Path,
    budget: int,
    disk_cache: DiskCacheConfig | None,
    make_engine: MakeEngine,
    media: MediaOptions,
    header: GgufHeader | None = None,
    added: Mapping[str, Path] | None = None,
) -> ModelSpec:
    if table.tool_format is not None and table.tool_format not in FORMATS:
        raise CatalogError(
            f"there is no tool_format '{table.tool_format}'; there are {', '.join(sorted(FORMATS))}"
        )
    _check_template(table.chat_template)
    if table.draft_model is not None and not table.speculative:
        raise CatalogError("a draft_model guesses nothing with speculative 0: leave one of them out")
    draft_model = None if table.draft_model is None else _located(table.draft_model, data_dir)[0]
    added = added or {}
    files = {**table.lora, **added}
    projector = _projector(path, table.mmproj)
    beside = None if projector is None else projector.path
    config = engine_config(path, table, budget, draft_model, disk_cache, added, beside)
    return ModelSpec(
        id=name,
        aliases=tuple(table.aliases),
        adapter_files=files,
        created=int(path.stat().st_mtime),
        preload=table.preload or table.pinned,
        pinned=table.pinned,
        idle_unload=table.idle_unload,
        operator_defaults=table.defaults,
        public_texts=public_texts,
        estimate_need=functools.partial(need_of, config),
        make_engine=functools.partial(make_engine, config),
        open=functools.partial(open_texts, path, name, table, tuple(files), beside),
        read_metadata=functools.partial(_read_metadata, path),
        read_context=ContextReader(config, header),
        try_templates=functools.partial(tried, path, table.chat_template, table.tool_format),
        check_file=functools.partial(check_model, config),
        read_facts=FactsReader(path, table.chat_template, header, beside),
        start_encoder=None if projector is None else EncoderStarter(projector, config, media),
        adapted=lambda adapters: _spec(
            name,
            path,
            table.model_copy(update={"lora": {k: adapters[k] for k in table.lora if k in adapters}}),
            public_texts=public_texts,
            data_dir=data_dir,
            budget=budget,
            disk_cache=disk_cache,
            make_engine=make_engine,
            media=media,
            added={known: file for known, file in adapters.items() if known not in table.lora},
        ),
    )


def _projector(path: Path, named: Path | None) -> ProjectorFile | None:
    try:
        return projector_of(path, named)
    except ProjectorError as error:
        raise CatalogError(f"mmproj: {error}") from error


def _check_template(path: Path | None) -> None:
    """Raise CatalogError over a file that is no text: its model could never be loaded."""
    if path is None:
        return
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise CatalogError(f"the chat template {path} cannot be read: {reason}") from error


def _read_metadata(path: Path) -> Mapping[str, str]:
    try:
        metadata = read_header(path).metadata
    except (HeaderError, OSError):
        return {}
    return {key: str(value) for key, value in metadata.items() if not isinstance(value, tuple)}


def _check_names(found: list[ModelSpec]) -> None:
    # A model's name may be among its aliases, but an adapter of that name would stand in its place.
    counts = Counter(name for spec in found for name in (*{spec.id, *spec.aliases}, *spec.adapters))
    for name, count in counts.items():
        if count > 1:
            of_adapters = " (adapters count)" if any(name in spec.adapters for spec in found) else ""
            message = f"{count} models are called '{name}'{of_adapters}; give them names of their own"
            raise CatalogError(f"{message}, models by `id`" if of_adapters else f"{message} with `id`")
