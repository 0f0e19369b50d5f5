"""What can be wrong with a machine, a build of llama.cpp or the sizes asked for, and how to mend it."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from caravan.chat.rendering.prompt_template import TemplateSyntaxError
from caravan.chat.template_summary import TemplateSummary
from caravan.cli.finding import Finding, Verdict
from caravan.cli.projector_check import projector
from caravan.cli.units import shown_bytes
from caravan.config.engine_config import EngineConfig
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import EngineStartError
from caravan.llama import library
from caravan.llama.devices import gpus
from caravan.llama.gguf_header import HeaderError
from caravan.llama.rpc import RpcError
from caravan.models import CatalogError, ModelSpec, model_specs
from caravan.models.loaded_model import TextEngine
from caravan.runtime.machine import memory_limit, usable_cores
from caravan.sizing.sizes import Sizes, resources, sizes_of
from caravan.web.startup_checks import check, check_responses, count_keys
from caravan.web.startup_message import StartError, describe_keys
from caravan.web.uvicorn.tls import TlsError, certificate_faults, server_context

# A processor's feature in /proc/cpuinfo, its name in llama.cpp's report, whether lacking it is a fault.
_FEATURES = (("avx2", "AVX2", True), ("avx512f", "AVX512", False), ("amx_int8", "AMX_INT8", False))
# A certificate that ends so soon had better be renewed now.
_SOON_SECONDS = 7 * 86400
_WORKERS = "workers"
_REBUILD = "build llama.cpp for this machine: `make native` in a checkout"


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything, one after the other, since the last takes seconds."""
    native_log = logging.getLogger("llama.cpp")
    level = native_log.level
    native_log.setLevel(logging.CRITICAL)
    try:
        yield from _findings(settings)
    finally:
        native_log.setLevel(level)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from processor(library.system_info(), _cpu_flags())
    yield threads(settings.threads, usable_cores())
    if settings.threads_batch > usable_cores():
        yield threads(settings.threads_batch, usable_cores(), "--threads-batch")
    yield gpu(bool(gpus()), Path("/dev/nvidia0").exists())
    told = [_port(settings), keys(settings), tls(settings), responses(settings)]
    yield from told
    try:
        spec = model_specs(settings)[0]
    except CatalogError as error:
        yield Finding("model", Verdict.FAULT, str(error), "name a GGUF file with --model")
        return
    yield from options(settings, told)
    engine = spec.make_engine()
    sizes = list(_sizes(engine.config)) if isinstance(engine, AsyncEngine) else []
    yield from sizes
    yield from templates(spec)
    # Without its workers it would only say so once more.
    if not any(finding.subject == _WORKERS and finding.verdict is Verdict.FAULT for finding in sizes):
        yield asyncio.run(first_prompt(engine))
    if spec.start_encoder is not None:
        yield asyncio.run(projector(spec.start_encoder))


def processor(system_info: str, flags: frozenset[str]) -> Iterator[Finding]:
    """Whether the build uses what the processor has."""
    parts = [part.split(" = ") for part in system_info.split("|")]
    used = {part[0].split()[-1] for part in parts if len(part) == 2 and part[1].strip() == "1"}
    for flag, name, is_fault in _FEATURES:
        if flag in flags and name not in used:
            verdict = Verdict.FAULT if is_fault else Verdict.ADVICE
            yield Finding("processor", verdict, f"it has {name}, and llama.cpp does not use it", _REBUILD)
    yield Finding("llama.cpp", Verdict.FINE, "uses " + (", ".join(sorted(used)) or "no special instructions"))


def threads(wanted: int, cores: int, option: str = "--threads") -> Finding:
    """Whether threads would wait for each other."""
    if wanted > cores:
        detail = f"{wanted} asked for, and {cores} cores are usable"
        return Finding("threads", Verdict.FAULT, detail, f"set {option} {cores}, or 0")
    return Finding("threads", Verdict.FINE, f"{wanted or cores} on {cores} usable cores")


def gpu(is_used: bool, is_there: bool) -> Finding:
    """Whether a GPU is left idle."""
    if is_there and not is_used:
        detail = "there is one, and llama.cpp was built without"
        return Finding("GPU", Verdict.ADVICE, detail, "make native BACKEND=cuda")
    return Finding("GPU", Verdict.FINE, "in use" if is_used else "none; the processor computes")


def _sizes(config: EngineConfig) -> Iterator[Finding]:
    """What the engine will settle on; nothing for a file that cannot be read: the first prompt tells."""
    try:
        given = resources(workers=config.rpc_workers)
    except RpcError as error:
        yield Finding("workers", Verdict.FAULT, str(error), "start `caravan rpc-worker` there")
        return
    if remote := [gpu for gpu in given.gpus if gpu.is_remote]:
        free = " + ".join(shown_bytes(gpu.free) for gpu in remote)
        yield Finding(_WORKERS, Verdict.FINE, f"{len(remote)} reached, with {free} free")
    with contextlib.suppress(HeaderError, OSError):
        sizes = sizes_of(config, given)
        yield from sequences(sizes)
        yield from layers(sizes, given.free_on_gpus)
        yield from llama_options(sizes, _lock_limit())
        yield memory(sizes, given.memory, memory_limit())


def sequences(sizes: Sizes) -> Iterator[Finding]:
    """How many are served at once, and why; what had to be made smaller than it would be."""
    config = sizes.config
    detail = f"{config.max_running} at once ({sizes.reason}), {config.max_sequences} in memory"
    yield Finding("sequences", Verdict.FINE, detail)
    for shortage in sizes.shortages:
        yield Finding("sizes", Verdict.ADVICE, shortage)


def layers(sizes: Sizes, free: tuple[int, ...]) -> Iterator[Finding]:
    """Which part of the model GPUs with `free` bytes each hold."""
    placement = sizes.placement
    if not free:
        return
    taken = " + ".join(map(shown_bytes, placement.taken))
    detail = f"{placement.num_layers} of {placement.num_all} layers take {taken} of "
    detail += " + ".join(map(shown_bytes, free))
    if all(taken <= room for taken, room in zip(placement.taken, free, strict=True)):
        yield Finding("GPU memory", Verdict.FINE, detail)
    else:
        yield Finding("GPU memory", Verdict.FAULT, detail, "set a smaller --gpu-layers, or leave it at -1")


def llama_options(sizes: Sizes, lock_limit: int | None) -> Iterator[Finding]:
    """What follows from options of llama.cpp that were set. At most `lock_limit` bytes may be locked."""
    context, weights = sizes.config.context, sizes.config.weights
    if context.cells:
        detail = f"{context.cells}: {shown_bytes(sizes.memory.cells)} for {sizes.config.num_cells} tokens"
        yield Finding("cache", Verdict.FINE, detail)
    if "mlock" in weights.load_mode and lock_limit is not None and lock_limit < sizes.memory.weights:
        detail = (
            f"{shown_bytes(lock_limit)} may be locked, and weights are {shown_bytes(sizes.memory.weights)}"
        )
        yield Finding("mlock", Verdict.ADVICE, detail, "raise the limit: `ulimit -l unlimited`")


def _lock_limit() -> int | None:
    """Bytes that this process may keep from being swapped out; None for as many as it likes."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return None if limit == resource.RLIM_INFINITY or os.geteuid() == 0 else limit


def memory(sizes: Sizes, free: int, limit: int) -> Finding:
    """Whether the model fits."""
    draft = sizes.memory.draft_model
    beside = f", {shown_bytes(draft)} of it for the draft model" if draft else ""
    if sizes.memory.projector:
        beside += f", {shown_bytes(sizes.memory.projector)} of it for the projector"
    detail = (
        f"the model needs {shown_bytes(sizes.at_start)} and up to {shown_bytes(sizes.at_most)}{beside}, "
        f"{shown_bytes(free)} of {shown_bytes(limit)} are free"
    )
    if sizes.at_start <= free:
        return Finding("memory", Verdict.FINE, detail)
    remedy = "set a smaller --context-size and --kv-cache-tokens, or take a smaller model or quantization"
    return Finding("memory", Verdict.FAULT, detail, remedy)


def templates(spec: ModelSpec) -> Iterator[Finding]:
    """Whether the chat template can be used, and what is guessed or adapted; nothing for a broken file."""
    try:
        with contextlib.suppress(HeaderError, OSError):
            told = spec.try_templates()
            yield Finding("chat template", Verdict.FINE, template_told(told))
            if told.is_guess and told.tools:
                detail = f"nothing tells how the model writes them; '{told.tool_format}' is a guess"
                yield Finding("tool calls", Verdict.ADVICE, detail, "set tool_format if you know it")
    except TemplateSyntaxError as error:
        remedy = "name another one with --chat-template"
        yield Finding("chat template", Verdict.FAULT, str(error), remedy)


def template_told(told: TemplateSummary) -> str:
    """The summary on one line."""
    rows = [(label, text) for label, text in told.lines() if text]
    return "; ".join(f"{label}: {text}" if label else text for label, text in rows)


def _port(settings: Settings) -> Finding:
    place = f"{settings.host}:{settings.port}"
    try:
        with socket.create_server((settings.host, settings.port)):
            return Finding("address", Verdict.FINE, f"{place} is free")
    except OSError as error:
        return Finding("address", Verdict.ADVICE, f"{place}: {error.strerror}", "choose another --port")


def keys(settings: Settings) -> Finding:
    """Whether those may come in who should."""
    try:
        return Finding("keys", Verdict.FINE, describe_keys(count_keys(settings)))
    except StartError as error:
        return Finding("keys", Verdict.FAULT, str(error))


def tls(settings: Settings, now: float | None = None) -> Finding:
    """Whether HTTPS can be spoken where it is asked for, and clients accept it at this time."""
    try:
        context = server_context(settings)
    except TlsError as error:
        return Finding("TLS", Verdict.FAULT, str(error))
    file = settings.tls_certificate
    if context is None or file is None:
        return Finding("TLS", Verdict.FINE, "off")
    now = time.time() if now is None else now
    renew = "have it issued anew, and start the server again"
    if faults := certificate_faults(context, file, now):
        return Finding("TLS", Verdict.FAULT, f"{file}: {'; '.join(faults)}", renew)
    if soon := certificate_faults(context, file, now + _SOON_SECONDS):
        return Finding(
            "TLS", Verdict.ADVICE, f"{file}: in {_SOON_SECONDS // 86400} days, {'; '.join(soon)}", renew
        )
    return Finding("TLS", Verdict.FINE, "on; the certificate and its key fit, and are valid")


def responses(settings: Settings) -> Finding:
    """Whether responses can be stored. Who did not say where may not need that."""
    fault = check_responses(settings)
    if fault is not None:
        verdict = Verdict.ADVICE if settings.responses_db is None else Verdict.FAULT
        return Finding("responses", verdict, fault, "name another file with --responses-db, or `memory`")
    return Finding("responses", Verdict.FINE, f"kept in {settings.responses_path or 'memory'}")


def options(settings: Settings, told: Sequence[Finding]) -> Iterator[Finding]:
    """What else the server would not start over; nothing where that has been told."""
    try:
        check(settings)
    except StartError as error:
        if not any(finding.detail in str(error) for finding in told):
            yield Finding("options", Verdict.FAULT, str(error))


async def first_prompt(engine: TextEngine) -> Finding:
    """Start the engine, which proves itself with a prompt of some hundred tokens, and end it."""
    began = time.monotonic()
    try:
        await engine.start()
    except EngineStartError as error:
        return Finding("first prompt", Verdict.FAULT, str(error), _REBUILD)
    finally:
        await engine.close()
    detail = f"computed, {time.monotonic() - began:.1f} s after the start"
    if isinstance(engine, AsyncEngine) and not engine.config.use_extra_buffers:
        return Finding("first prompt", Verdict.ADVICE, f"{detail}, with slower kernels only", _REBUILD)
    return Finding("first prompt", Verdict.FINE, detail)


def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
