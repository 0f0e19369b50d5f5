"""What the operator reads when the server is ready."""

import json
import shlex
from collections.abc import Iterator

from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.models import ModelRegistry
from caravan.sizing.sizes import Sizes


class StartError(Exception):
    """The server cannot start; the message is one line for the operator."""


# Models that the message names; a folder may have many.
_NUM_LISTED = 8


def startup_message(
    registry: ModelRegistry,
    address: tuple[str, int],
    *,
    num_keys: int,
    is_tls: bool,
    has_page: bool = True,
) -> str:
    """Tell what is served, where, for whom, how to try it and how to name another model."""
    base = f"{base_url(address, is_tls=is_tls)}/v1"
    request = {
        "model": registry.specs[0].id,
        "messages": [{"role": "user", "content": "Hello!"}],
    }
    lines = [
        _served(registry),
        *_sizes(registry),
        *_tools(registry),
        f"  base URL: {base}",
        *([f"  page:     {base.removesuffix('/v1')}/"] if has_page else []),
        f"  docs:     {base.removesuffix('/v1')}/docs",
        f"  keys:     {describe_keys(num_keys)}",
        "  try it:",
        f"    curl {base}/chat/completions -H 'Content-Type: application/json' \\",
        *(['      -H "Authorization: Bearer $KEY" \\'] if num_keys else []),
        f"      -d {shlex.quote(json.dumps(request))}",
        "  another model: caravan serve --model path/to/model.gguf",
    ]
    return "\n".join(lines)


def base_url(address: tuple[str, int], *, is_tls: bool) -> str:
    """Write the address by which this machine calls a server that listens there."""
    host, port = address
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # nosec B104 (compared, not bound)
    return f"{'https' if is_tls else 'http'}://{shown}:{port}"


def describe_keys(num_keys: int) -> str:
    """Tell who may come in."""
    if not num_keys:
        return "off; whoever reaches this address may use it"
    return f"on; there {'is one' if num_keys == 1 else f'are {num_keys}'}, and every request needs one"


def _served(registry: ModelRegistry) -> str:
    names = [spec.id for spec in registry.specs]
    first = registry.loaded(names[0])
    if len(names) == 1 and first is not None:
        return f"Caravan serves {first.id} with {first.context_size} tokens of context"
    listed = ", ".join(names[:_NUM_LISTED]) + (", ..." if len(names) > _NUM_LISTED else "")
    return f"Caravan serves {len(names)} models: {listed}"


def _sizes(registry: ModelRegistry) -> Iterator[str]:
    """What a single model may take: sequences, cells, threads, memory."""
    spec = registry.specs[0]
    model = registry.loaded(spec.id)
    if len(registry.specs) > 1 or model is None or not isinstance(model.engine, AsyncEngine):
        return
    if model.engine.sizes is not None:
        yield from size_lines(model.engine.sizes, can_generate=model.engine.traits.can_generate)


def _tools(registry: ModelRegistry) -> Iterator[str]:
    """Tell of a single model that its template knows no tools, and what is done about it."""
    model = registry.loaded(registry.specs[0].id)
    if len(registry.specs) > 1 or model is None or not model.engine.traits.can_generate:
        return
    told = model.template_summary
    if not told.tools:
        why = "the chat template has no place for them"
        yield f"  tools:    by a general prompt, called as '{told.tool_format}'; {why}"


def size_lines(sizes: Sizes, *, can_generate: bool) -> Iterator[str]:
    """Tell what sizes an engine has chosen."""
    config = sizes.config
    if can_generate:
        sequences = f"{config.max_running} sequences ({sizes.reason})"
        cells = f" ({config.context.cells})" if config.context.cells else ""
        yield f"  at once:  {sequences}, {config.num_cells} tokens in memory{cells}"
    placement = sizes.placement
    if placement.taken:
        size = f"{placement.num_bytes >> 20} MiB"
        yield f"  on GPUs:  {placement.num_layers} of {placement.num_all} layers, {size}"
    yield f"  takes:    {config.num_threads} threads, up to {sizes.at_most >> 20} MiB of memory"
    for shortage in sizes.shortages:
        yield f"  less:     {shortage}"
