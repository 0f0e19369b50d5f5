"""One server from its socket to its end: listen, load, announce, serve, close.

Imports no more than it takes to have engines started: the web side is imported while they load.
"""

import asyncio
import importlib
import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from caravan.config.settings import Settings
from caravan.models import ModelRegistry, registry_of
from caravan.models.loaded_model import LoadedModel
from caravan.runtime import gc_tuning, signals
from caravan.runtime.threads import in_thread, let_the_loop_through
from caravan.web.running import registered_server
from caravan.web.startup_checks import (
    MakeRegistry,
    count_keys,
    listening_socket,
    registry_for,
    web_for,
)
from caravan.web.startup_message import StartError, base_url, startup_message

if TYPE_CHECKING:
    from caravan.web.lifecycle import AppServer

log = logging.getLogger(__name__)


async def serve(settings: Settings, *, make_registry: MakeRegistry = registry_of) -> None:
    """Serve until SIGINT, SIGTERM, SIGHUP or SIGQUIT. Raises StartError.

    The port opens before the weights are loaded: `/health` answers from then on and `/ready` says when.
    """
    num_keys = count_keys(settings)
    listener = listening_socket(settings.host, settings.port)
    address = listener.getsockname()[:2]
    is_tls = settings.tls_certificate is not None
    place = registered_server(settings.data_dir, base_url(address, is_tls=is_tls))
    with listener, _EarlySignals() as early, place:
        registry = registry_for(settings, make_registry)

        def announce() -> None:
            try:
                message = startup_message(
                    registry, address, num_keys=num_keys, is_tls=is_tls, has_page=settings.page
                )
                print(message, flush=True)
            except OSError as error:
                log.warning("what is served cannot be told on standard output: %s", error)

        await _serve(settings, registry, listener, early, announce)


async def _serve(
    settings: Settings,
    registry: ModelRegistry,
    listener: socket.socket,
    early: "_EarlySignals",
    announce: Callable[[], None],
) -> None:
    """Load the models, open the web side beside that, and serve; `announce` is called when all are there."""
    is_built = threading.Event()

    def wait_for_checks(_model: LoadedModel) -> None:
        """Let no model be used before the application has added its checks."""
        is_built.wait()

    registry.add_check(wait_for_checks)
    starting = asyncio.create_task(registry.start())
    web: AppServer | None = None
    try:
        # Imported in a thread: that takes more than half a second, in which engines are started from here.
        await in_thread(importlib.import_module, "caravan.web.lifecycle")
        web = early.web = web_for(settings, registry)
        await web.open_stores()
        web.publish_events()
        web.should_exit = early.have_come
        is_built.set()
        serving = asyncio.create_task(web.serve(sockets=[listener]))
        await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
        if _succeeded(starting) and not web.should_exit:
            gc_tuning.keep()
            let_the_loop_through()
            announce()
        else:
            web.should_exit = True
        await serving
    finally:
        is_built.set()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        # The app has closed the registry, unless an engine was still starting then.
        await registry.close()
        if web is not None:
            await in_thread(web.close_senders)
    if not starting.cancelled() and (error := starting.exception()) is not None:
        raise StartError(str(error)) from error


class _EarlySignals:
    """Takes what ends a server until the web side does so itself, which then ends as soon as it is there.

    Each is taken once: the second one does what it does without us.
    """

    def __init__(self) -> None:
        self.have_come = False
        self.web: AppServer | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        signals.ignore_idle()
        self._previous = {number: signal.getsignal(number) for number in signals.ending()}
        for number in self._previous:
            signal.signal(number, self._take)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.__exit__()
        self.have_come = True
        if self.web is not None:
            self.web.should_exit = True


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
