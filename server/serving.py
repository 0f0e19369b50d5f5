"""One server from its socket to its end: listen, load, announce, serve, close."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn

from server.app import create_app
from server.auth.key_ring import open_ring
from server.auth.keys import KeyFileError
from server.banner import banner
from server.machine import allow_files
from server.net.tls import TlsError, server_context
from server.net.web_config import web_config
from server.net.web_server import WebServer
from server.registry import CatalogError, ModelRegistry, registry_of
from server.routes.deps import Services
from server.service.presets import PresetError
from server.settings import Settings
from server.tracing import Tracing, TracingError, open_tracing

log = logging.getLogger(__name__)

# Open files besides connections: models, pipes to engines, stored responses.
_OTHER_FILES = 256


class StartError(Exception):
    """The server cannot start; the message is one line for the operator."""


MakeRegistry = Callable[[Settings], ModelRegistry]


async def serve(settings: Settings, *, make_registry: MakeRegistry = registry_of) -> None:
    """Serve until SIGINT or SIGTERM. Raises StartError.

    The port opens before the weights are loaded: `/health` answers from then on and `/ready` says when.
    """
    num_keys = count_keys(settings)
    listener = _listen(settings.host, settings.port)
    with listener:
        registry = _registry(settings, make_registry)
        tracing = _tracing(settings)
        server = _server(settings, registry, tracing)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        starting = asyncio.create_task(registry.start())
        try:
            await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
            if _succeeded(starting):
                address = listener.getsockname()[:2]
                is_tls = settings.tls_certificate is not None
                print(banner(registry, address, num_keys=num_keys, is_tls=is_tls), flush=True)
            else:
                server.should_exit = True
            await serving
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            # The app has closed the registry, unless an engine was still starting then.
            await registry.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)
        if not starting.cancelled() and (error := starting.exception()) is not None:
            raise StartError(str(error)) from error


def count_keys(settings: Settings) -> int:
    """How many keys there are. Raises StartError over their file, and where there are none although anybody
    who reaches this machine could then use it, unless that is wanted.
    """
    try:
        num_keys = len(open_ring(settings).current())
    except KeyFileError as error:
        raise StartError(str(error)) from error
    if not num_keys and not settings.lets_anybody_in:
        raise StartError(
            f"--host {settings.host} lets other machines in, and there are no keys: make one with "
            "'caravan keys add NAME', or say --allow-anonymous"
        )
    return num_keys


class _Server(WebServer):
    """Ends in good order: what is being made gets its time, then one error each, then the engines go."""

    def __init__(
        self, config: uvicorn.Config, registry: ModelRegistry, services: Services, settings: Settings
    ) -> None:
        super().__init__(config, handshake_seconds=settings.head_seconds)
        self._registry = registry
        self._services = services
        self._grace = settings.shutdown_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and wait for running requests and background responses, but not for ever."""
        closing = asyncio.create_task(self._close_after_grace())
        settling = asyncio.create_task(self._services.responses.settle())
        # Those that uvicorn waits for, until it is told to wait no longer.
        self.server_state.tasks.add(settling)
        settling.add_done_callback(self.server_state.tasks.discard)
        try:
            await super().shutdown(sockets)
        finally:
            for task in (closing, settling):
                task.cancel()
            await asyncio.gather(closing, settling, return_exceptions=True)

    async def _close_after_grace(self) -> None:
        await asyncio.sleep(self._grace)
        await self._registry.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take SIGINT and SIGTERM while the server runs; the second one stops waiting for requests.

        uvicorn's own version does so for SIGINT alone, and raises a signal again at the end, before our
        clean-up has run.
        """

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _registry(settings: Settings, make_registry: MakeRegistry) -> ModelRegistry:
    try:
        return make_registry(settings)
    except CatalogError as error:
        raise StartError(str(error)) from error


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _tracing(settings: Settings) -> Tracing | None:
    """What was asked for in vain is an error; variables that hold for all programs are not asked of us."""
    try:
        return open_tracing(settings.otlp_endpoint)
    except TracingError as error:
        if settings.otlp_endpoint is not None:
            raise StartError(str(error)) from error
        log.warning("no traces are sent: %s", error)
        return None


def _server(settings: Settings, registry: ModelRegistry, tracing: Tracing | None) -> _Server:
    try:
        app = create_app(settings, registry, tracing)
        tls = server_context(settings)
    except (PresetError, KeyFileError, TlsError) as error:
        raise StartError(str(error)) from error
    services: Services = app.state.services
    config = web_config(
        app,
        settings,
        max_connections=_max_connections(settings.max_connections),
        count_error=services.metrics.count_error,
        tls=tls,
    )
    return _Server(config, registry, services, settings)


def _max_connections(wanted: int) -> int:
    """As many as the system has files for."""
    allowed = allow_files(wanted + _OTHER_FILES) - _OTHER_FILES
    if allowed < wanted:
        log.warning("at most %d connections: the limit of open files (ulimit -n) allows no more", allowed)
    return max(1, min(wanted, allowed))


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
