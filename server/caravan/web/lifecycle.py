"""The web side of a server: the application over models that still load, and its end in good order."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Generator
from types import FrameType

from fastapi import FastAPI

from caravan.api.params.presets import PresetError
from caravan.api.store import PlaceError
from caravan.auth.keys_file import KeyFileError
from caravan.config.settings import Settings
from caravan.models import ModelRegistry
from caravan.observability.kv_events.publisher import KvEventPublisher
from caravan.observability.tracing import Tracing, TracingError, open_tracing
from caravan.runtime import signals
from caravan.runtime.machine import raise_file_limit
from caravan.web.app import create_app
from caravan.web.dependencies import Services
from caravan.web.kv_events import check_events, publish_events
from caravan.web.services import open_stores
from caravan.web.startup_message import StartError
from caravan.web.uvicorn.server import WebServer
from caravan.web.uvicorn.tls import TlsError, certificate_faults, server_context

log = logging.getLogger(__name__)

# Open files besides connections: models, pipes to engines, stored responses.
_OTHER_FILES = 256


class AppServer(WebServer):
    """Ends in good order: what is being made gets its time, then one error each, then the engines go.

    `tracing` outlives it, for the last requests.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Settings,
        tracing: Tracing | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._services: Services = app.state.services
        super().__init__(
            app,
            settings,
            max_connections=_max_connections(settings.max_connections),
            count_error=self._services.metrics.count_error,
            tls=tls,
        )
        self.tracing = tracing
        self._settings = settings
        self._kv_events: KvEventPublisher | None = None
        self._grace = settings.shutdown_seconds

    async def open_stores(self) -> None:
        """Open what is kept. Raises StartError."""
        await open_stores(self._services, self._settings)

    def publish_events(self) -> None:
        """Publish events of the models' caches, if that is wanted. Raises StartError."""
        self._kv_events = publish_events(self._settings, self._services.registry)

    def close_senders(self) -> None:
        """End what tells others of this server, behind everything else; takes a moment."""
        if self.tracing is not None:
            self.tracing.close()
        if self._kv_events is not None:
            self._kv_events.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and wait for running requests and background responses, but not for ever.

        Batches stop at once: they go on when the server is there again.
        """
        closing = asyncio.create_task(self._close_after_grace())
        settling = asyncio.create_task(self._services.responses.settle())
        # Those that uvicorn waits for, until it is told to wait no longer.
        self.server_state.tasks.add(settling)
        settling.add_done_callback(self.server_state.tasks.discard)
        await self._services.batches.stop()
        try:
            await super().shutdown(sockets)
        finally:
            for task in (closing, settling):
                task.cancel()
            await asyncio.gather(closing, settling, return_exceptions=True)

    async def _close_after_grace(self) -> None:
        await asyncio.sleep(self._grace)
        await self._services.registry.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take what ends a server while it runs; the second signal stops waiting for requests.

        uvicorn's own version does so for SIGINT alone, and raises a signal again at the end, before our
        clean-up has run.
        """

        def handle(_number: int, _frame: FrameType | None) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True

        previous = {number: signal.signal(number, handle) for number in signals.ending()}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _tracing(settings: Settings) -> Tracing | None:
    """Open traces. If that fails, it is an error over our option, and a warning over a common variable."""
    try:
        return open_tracing(settings.otlp_endpoint)
    except TracingError as error:
        if settings.otlp_endpoint is not None:
            raise StartError(str(error)) from error
        log.warning("no traces are sent: %s", error)
        return None


def open_web(settings: Settings, registry: ModelRegistry) -> AppServer:
    """Do everything before the first connection. Raises StartError."""
    check_events(settings)
    tracing = _tracing(settings)
    try:
        app = create_app(settings, registry, tracing)
        tls = server_context(settings)
    except PlaceError as error:
        raise StartError(f"--responses-db {error}") from error
    except (PresetError, KeyFileError, TlsError) as error:
        raise StartError(str(error)) from error
    if tls is not None and settings.tls_certificate is not None:
        for fault in certificate_faults(tls, settings.tls_certificate, time.time()):
            log.warning("--tls-certificate %s: %s", settings.tls_certificate, fault)
    return AppServer(app, settings, tracing, tls)


def _max_connections(wanted: int) -> int:
    """Limit connections to what the system has files for."""
    allowed = raise_file_limit(wanted + _OTHER_FILES) - _OTHER_FILES
    if allowed < wanted:
        log.warning("at most %d connections: the limit of open files (ulimit -n) allows no more", allowed)
    return max(1, min(wanted, allowed))
