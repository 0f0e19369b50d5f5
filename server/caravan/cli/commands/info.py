"""`caravan info`: one model, from its file's header."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caravan.cli.errors import CommandError
from caravan.cli.units import shown_bytes
from caravan.runtime.plain_text import plain_line, plain_text

if TYPE_CHECKING:
    from caravan.cli.model_facts import ModelFacts
    from caravan.config.settings import Settings
    from caravan.sizing.sizes import Sizes


_CacheType = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE", help="Show the memory with cells of this type, such as q8_0.", show_default=False
    ),
]


def command(
    model: Annotated[str | None, typer.Argument(help="A GGUF file or a pulled model's name.")] = None,
    context_size: Annotated[
        int | None, typer.Option(min=1, help="Show the memory for this context size.", show_default=False)
    ] = None,
    kv_cache_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Show the memory for a KV cache of this size.", show_default=False),
    ] = None,
    kv_cells: Annotated[int | None, typer.Option(hidden=True)] = None,
    cache_type_k: _CacheType = None,
    cache_type_v: _CacheType = None,
    n_cpu_moe: Annotated[
        int | None,
        typer.Option(min=0, help="Leave the experts of so many layers here.", show_default=False),
    ] = None,
    draft_model: Annotated[
        str | None, typer.Option(help="Show the memory with this draft model.", show_default=False)
    ] = None,
    mmproj: Annotated[
        str | None, typer.Option(help="Show the memory with this projector.", show_default=False)
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Workers that take layers, as host:port.", show_default=False),
    ] = None,
    template: Annotated[bool, typer.Option("--template", help="Print the chat template instead.")] = False,
) -> None:
    """Show a model's properties, its recommended sampling parameters and how much memory it needs.

    Without a name: the model that ships with Caravan.
    """
    from caravan.cli.options import configuration

    flags = {"model": model, "draft_model": draft_model, "rpc": rpc, "n_cpu_moe": n_cpu_moe}
    flags["mmproj"] = mmproj
    sizes = {"context_size": context_size, "kv_cache_tokens": kv_cache_tokens, "kv_cells": kv_cells}
    cells = {"cache_type_k": cache_type_k, "cache_type_v": cache_type_v}
    settings = configuration({**flags, **sizes, **cells}).settings
    if model is not None and mmproj is None:
        settings = settings.model_copy(update={"mmproj": None})
    if model is not None and draft_model is None:
        # That of the settings is for the model of the settings.
        settings = settings.model_copy(update={"draft_model": None})
    found = _facts(settings)
    if template:
        print(plain_text(found.template) if sys.stdout.isatty() else found.template)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for row in _rows(found):
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _facts(settings: "Settings") -> "ModelFacts":
    from caravan.cli.model_facts import facts
    from caravan.llama.gguf_header import HeaderError
    from caravan.llama.projector import ProjectorError
    from caravan.llama.rpc import RpcError
    from caravan.models.local_models import ModelPathError, find_model
    from caravan.models.resident import RESIDENT_ID, model_path

    path: Path | None = settings.model
    draft: Path | None = None
    try:
        if settings.draft_model is not None:
            draft = find_model(settings.draft_model, settings.data_dir).path
        if path is None or str(path) == RESIDENT_ID:
            return facts(RESIDENT_ID, model_path(), settings, draft, settings.rpc)
        found = find_model(path, settings.data_dir)
        return facts(found.name, found.path, settings, draft, settings.rpc)
    except (HeaderError, ModelPathError, ProjectorError, RpcError, OSError) as error:
        raise CommandError(str(error)) from error


def _rows(model: "ModelFacts") -> Iterator[tuple[str, str]]:
    """What is known, by its label. A file's own words are shown as plain lines."""
    for label, text in _raw_rows(model):
        yield label, plain_line(text)


def _raw_rows(model: "ModelFacts") -> Iterator[tuple[str, str]]:
    header = model.header
    yield "model", model.name
    yield "file", str(header.path)
    for label, key in (
        ("title", "general.name"),
        ("license", "general.license"),
        ("parameters", "general.size_label"),
    ):
        if text := header.text(key):
            yield label, text
    yield "architecture", header.architecture
    yield "stored as", model.quantization
    yield (
        "trained on",
        f"{header.training_context} tokens of context" if header.training_context else "unknown",
    )
    yield "vocabulary", f"{header.vocab_size} tokens"
    size = f"{len(model.template)} characters (--template prints it)"
    yield "chat template", size if model.template else "none; chats use ChatML"
    yield from _template_rows(model)
    pairs = ", ".join(f"{name} {value}" for name, value in model.sampling.items())
    yield "recommends", pairs or "nothing"
    yield from _size_rows(model.sizes)
    yield from _window_rows(model)


def _window_rows(model: "ModelFacts") -> Iterator[tuple[str, str]]:
    """What layers with a window keep where it is less than the others do."""
    config = model.sizes.config
    if config.num_window_cells:
        yield "windows", f"layers with one keep {config.num_window_cells} of {config.num_cells} tokens"


def _template_rows(model: "ModelFacts") -> Iterator[tuple[str, str]]:
    """What the template supports, which is found by trying it."""
    from caravan.chat.rendering.prompt_template import TemplateSyntaxError

    try:
        yield from model.tried_templates().lines()
    except (TemplateSyntaxError, OSError) as error:
        yield "", str(error)


def _size_rows(sizes: "Sizes") -> Iterator[tuple[str, str]]:
    """What the model would be served with here, and the memory that this takes."""
    config, memory = sizes.config, sizes.memory
    if memory.cells:
        yield "at once", f"{config.max_running} sequences ({sizes.reason}), {config.max_sequences} in memory"
    if sizes.placement.taken:
        placement = sizes.placement
        on_gpus = f"{placement.num_layers} of {placement.num_all} layers, {shown_bytes(placement.num_bytes)}"
        yield "on GPUs", on_gpus
    if sizes.on_workers:
        yield "on workers", f"{shown_bytes(sizes.on_workers)} of it"
    yield "memory", f"up to {shown_bytes(memory.total)} for {config.context_size} tokens of context:"
    yield "", f"{shown_bytes(memory.weights)} weights"
    if memory.cells:
        cells = f"; {config.context.cells}" if config.context.cells else ""
        yield "", f"{shown_bytes(memory.cells)} cache: {config.num_cells} tokens in memory{cells}"
    if memory.host_cache:
        idle = f"{config.num_host_cache_tokens} tokens of idle texts"
        yield "", f"{shown_bytes(memory.host_cache)} in time, for {idle}"
    if memory.checkpoints:
        yield "", f"{shown_bytes(memory.checkpoints)} in time, for checkpoints of texts"
    yield "", f"{shown_bytes(memory.compute)} to compute with"
    for size, what in (
        (memory.adapters, f"for {len(config.adapters)} adapters"),
        (memory.draft_model, "for the draft model"),
        (memory.disk_buffers, "at times, on the way from and to the disk"),
        (memory.projector, "for the projector, and up to --media-memory while it works"),
        (memory.vectors, "more once embeddings are asked for"),
    ):
        if size:
            yield "", f"{shown_bytes(size)} {what}"
    for shortage in sizes.shortages:
        yield "less", shortage
