"""One server from its socket to its end: listen, load, announce, serve, close.

Imports no more than it takes to have engines started: the web side is imported while they load.
"""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import TYPE_CHECKING

from server import garbage
from server.auth import keys
from server.auth.key_ring import open_ring
from server.auth.keys import KeyFileError
from server.banner import banner
from server.loaded_model import LoadedModel
from server.registry import CatalogError, ModelRegistry, registry_of
from server.settings import Settings
from server.threads import in_thread

if TYPE_CHECKING:
    from server.web import AppServer


log = logging.getLogger(__name__)

_KEY_VARIABLES = ("CARAVAN_API_KEY", "CARAVAN_KEYS_FILE")


class StartError(Exception):
    """The server cannot start; the message is one line for the operator."""


MakeRegistry = Callable[[Settings], ModelRegistry]


async def serve(settings: Settings, *, make_registry: MakeRegistry = registry_of) -> None:
    """Serve until SIGINT or SIGTERM. Raises StartError.

    The port opens before the weights are loaded: `/health` answers from then on and `/ready` says when.
    """
    num_keys = count_keys(settings)
    listener = _listen(settings.host, settings.port)
    with listener, _early_signals() as signals:
        registry = _registry(settings, make_registry)
        is_built = threading.Event()

        def wait_for_checks(_model: LoadedModel) -> None:
            """Let no model be used before the application has added its checks."""
            is_built.wait()

        registry.add_check(wait_for_checks)
        starting = asyncio.create_task(registry.start())
        web: AppServer | None = None
        try:
            web = signals.web = await _open_web(settings, registry)
            web.should_exit = signals.have_come
            is_built.set()
            serving = asyncio.create_task(web.serve(sockets=[listener]))
            await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
            if _succeeded(starting) and not web.should_exit:
                garbage.keep()
                address = listener.getsockname()[:2]
                is_tls = settings.tls_certificate is not None
                print(banner(registry, address, num_keys=num_keys, is_tls=is_tls), flush=True)
            else:
                web.should_exit = True
            await serving
        finally:
            is_built.set()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            # The app has closed the registry, unless an engine was still starting then.
            await registry.close()
            if web is not None and web.tracing is not None:
                await in_thread(web.tracing.close)
        if not starting.cancelled() and (error := starting.exception()) is not None:
            raise StartError(str(error)) from error


class _EarlySignals:
    """Those that come before the web side takes them itself: it ends as soon as it is there."""

    def __init__(self) -> None:
        self.have_come = False
        self.web: AppServer | None = None

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal (Python's own protocol)."""
        self.have_come = True
        if self.web is not None:
            self.web.should_exit = True


@contextlib.contextmanager
def _early_signals() -> Generator[_EarlySignals, None, None]:
    """Take SIGINT and SIGTERM, each once: the second one does what it does without us."""
    signals = _EarlySignals()
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        signals.handle(number, frame)

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in numbers:
        signal.signal(number, handle)
    try:
        yield signals
    finally:
        restore()


async def _open_web(settings: Settings, registry: ModelRegistry) -> "AppServer":
    """Imported in a thread: that takes more than half a second, in which engines are started from here."""
    await in_thread(importlib.import_module, "server.web")
    from server.web import WebError, open_web

    try:
        return open_web(settings, registry)
    except WebError as error:
        raise StartError(str(error)) from error


def count_keys(settings: Settings) -> int:
    """How many keys are asked for. Raises StartError over their file, and where there are none although other
    machines could come in or there have been some, unless everybody is wanted.
    """
    if not settings.auth:
        if settings.api_key is not None:
            raise StartError("--no-auth asks for no key, and --api-key sets one: leave one of them out")
        if keys.have_been(settings.keys_path):
            log.warning(
                "--no-auth: nobody is asked for a key, although there have been some in %s",
                settings.keys_path,
            )
        return 0
    try:
        ring = open_ring(settings)
    except KeyFileError as error:
        raise StartError(str(error)) from error
    num_keys = len(ring.current())
    if not num_keys:
        _check_open(settings, is_open=ring.is_open())
    return num_keys


def _check_open(settings: Settings, *, is_open: bool) -> None:
    """Raise StartError where there are no keys and not everybody is wanted, or may not be."""
    make_one = "make one with 'caravan keys add NAME'"
    if not is_open and (settings.keys_file is not None or keys.have_been(settings.keys_path)):
        raise StartError(
            f"there are no keys in {settings.keys_path}, so nobody could come in: {make_one}, or let "
            "everybody in with --no-auth"
        )
    if not is_open:
        raise StartError(
            f"--host {settings.host} lets other machines in, and there are no keys: {make_one}, or say "
            "--allow-anonymous"
        )
    for name in _KEY_VARIABLES:
        if os.environ.get(name) == "" and not settings.allow_anonymous:
            raise StartError(
                f"{name} is empty, so anybody could come in: give it a value, unset it, or say --no-auth"
            )


def _registry(settings: Settings, make_registry: MakeRegistry) -> ModelRegistry:
    try:
        return make_registry(settings)
    except CatalogError as error:
        raise StartError(str(error)) from error


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


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
