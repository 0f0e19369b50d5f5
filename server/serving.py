"""One server from its socket to its end: listen, load, announce, serve, close."""

import asyncio
import contextlib
import json
import math
import shlex
import signal
import socket
from collections.abc import Callable, Generator, Iterator
from types import FrameType

import uvicorn

from server.app import create_app
from server.auth.key_ring import open_ring
from server.auth.keys import KeyFileError
from server.engine.client import AsyncEngine
from server.registry import CatalogError, ModelRegistry, registry_of
from server.service.presets import PresetError
from server.settings import Settings

# Models that the banner names; a folder may have many.
_NUM_LISTED = 8
# Seconds for the errors that end what is left, once the grace of running requests is over.
_DRAIN_SECONDS = 10


class StartError(Exception):
    """The server cannot start; the message is one line for the operator."""


MakeRegistry = Callable[[Settings], ModelRegistry]


async def serve(settings: Settings, *, make_registry: MakeRegistry = registry_of) -> None:
    """Serve until SIGINT or SIGTERM. Raises StartError.

    The port opens before the weights are loaded: `/health` answers from then on and `/ready` says when.
    """
    _refuse_open_door(settings)
    listener = _listen(settings.host, settings.port)
    with listener:
        registry = _registry(settings, make_registry)
        server = _Server(_config(settings, registry), registry, settings.shutdown_seconds)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        starting = asyncio.create_task(registry.start())
        try:
            await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
            if _succeeded(starting):
                print(banner(registry, listener), flush=True)
            else:
                server.should_exit = True
            await serving
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            # The app has closed the registry, unless an engine was still starting then.
            await registry.close()
        if not starting.cancelled() and (error := starting.exception()) is not None:
            raise StartError(str(error)) from error


def banner(registry: ModelRegistry, listener: socket.socket) -> str:
    """What the operator needs first: what is served, where, how to try it and how to name another model."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (compared, not bound)
    base = f"http://{shown}:{port}/v1"
    request = {
        "model": registry.offers[0].id,
        "messages": [{"role": "user", "content": "Hello!"}],
    }
    lines = [
        _served(registry),
        *_sizes(registry),
        f"  base URL: {base}",
        f"  docs:     {base.removesuffix('/v1')}/docs",
        "  keys:     off; whoever reaches this address may use it",
        "  try it:",
        f"    curl {base}/chat/completions -H 'Content-Type: application/json' \\",
        f"      -d {shlex.quote(json.dumps(request))}",
        "  another model: caravan serve --model path/to/model.gguf",
    ]
    return "\n".join(lines)


def _served(registry: ModelRegistry) -> str:
    names = [offer.id for offer in registry.offers]
    first = registry.loaded(names[0])
    if len(names) == 1 and first is not None:
        return f"Caravan serves {first.id} with {first.context_size} tokens of context"
    listed = ", ".join(names[:_NUM_LISTED]) + (", ..." if len(names) > _NUM_LISTED else "")
    return f"Caravan serves {len(names)} models: {listed}"


def _sizes(registry: ModelRegistry) -> Iterator[str]:
    """What a single model may take: sequences, cells, threads, memory."""
    offer = registry.offers[0]
    model = registry.loaded(offer.id)
    if len(registry.offers) > 1 or model is None or not isinstance(model.engine, AsyncEngine):
        return
    config = model.engine.config
    yield f"  at once:  {config.max_running} sequences, {config.num_cells} tokens in memory"
    yield f"  takes:    {config.num_threads} threads, about {offer.estimate_need() >> 20} MiB of memory"


class _Server(uvicorn.Server):
    """Ends in good order: requests get their time, then one error each, then the engines go."""

    def __init__(self, config: uvicorn.Config, registry: ModelRegistry, grace: float) -> None:
        super().__init__(config)
        self._registry = registry
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and wait for running requests, but not for ever."""
        closing = asyncio.create_task(self._close_after_grace())
        try:
            await super().shutdown(sockets)
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    async def _close_after_grace(self) -> None:
        await asyncio.sleep(self._grace)
        await self._registry.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take SIGINT and SIGTERM while the server runs; the second one stops waiting for requests.

        uvicorn's own version raises a signal again at the end, before our clean-up has run.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _refuse_open_door(settings: Settings) -> None:
    """Raises StartError where anybody who reaches this machine could use it, unless that is wanted."""
    if settings.lets_anybody_in:
        return
    try:
        has_keys = bool(open_ring(settings).current())
    except KeyFileError as error:
        raise StartError(str(error)) from error
    if not has_keys:
        raise StartError(
            f"--host {settings.host} lets other machines in, and there are no keys: make one with "
            "'caravan keys add NAME', or say --allow-anonymous"
        )


def _registry(settings: Settings, make_registry: MakeRegistry) -> ModelRegistry:
    try:
        return make_registry(settings)
    except CatalogError as error:
        raise StartError(str(error)) from error


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _config(settings: Settings, registry: ModelRegistry) -> uvicorn.Config:
    try:
        app = create_app(settings, registry)
    except (PresetError, KeyFileError) as error:
        raise StartError(str(error)) from error
    return uvicorn.Config(
        app,
        # Its lines of routine are for those who look for a fault.
        log_config=None,
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        ws="none",
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        h11_max_incomplete_event_size=settings.max_header_bytes,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds) + _DRAIN_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket of our own, so that a taken port is one line before any model is loaded."""
    try:
        # The protocol matters: without it asyncio leaves Nagle's delay on, which costs 40 ms an answer.
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
