"""All checks that come before the first connection. `serve` goes on with what is made here, and `check` lets
it go again, so that nothing passes the one and fails the other.

Imports no more than it takes to have engines started.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from caravan.auth import keys_file
from caravan.auth.key_store import open_key_store
from caravan.auth.keys_file import KeyFileError
from caravan.config.settings import Settings
from caravan.llama.gguf_header import HeaderError
from caravan.models import CatalogError, ModelRegistry, NoRoomError, registry_of
from caravan.web.startup_message import StartError

if TYPE_CHECKING:
    from caravan.web.lifecycle import AppServer


log = logging.getLogger(__name__)

_KEY_VARIABLES = ("CARAVAN_API_KEY", "CARAVAN_KEYS_FILE")

MakeRegistry = Callable[[Settings], ModelRegistry]


def check(settings: Settings) -> None:
    """Do all that comes before the first connection and before a model is loaded, and leave nothing of it.

    Raises StartError for what `serve` would end with. An address that is in use is not the options' fault: it
    may be the very server's whose options these are.
    """
    count_keys(settings)
    with contextlib.suppress(_AddressInUseError):
        bound_socket(settings.host, settings.port).close()
    registry = registry_for(settings)
    try:
        asyncio.run(registry.check_start())
    except (NoRoomError, HeaderError, OSError) as error:
        raise StartError(str(error)) from error
    web = web_for(settings, registry)
    web.close_senders()


def count_keys(settings: Settings) -> int:
    """Count the keys that are asked for. Raises StartError over their file, and where there are none although
    other machines could come in or there have been some, unless everybody is wanted.
    """
    if not settings.auth:
        if settings.api_key is not None:
            raise StartError("--no-auth asks for no key, and --api-key sets one: leave one of them out")
        if keys_file.have_been(settings.keys_path):
            log.warning(
                "--no-auth: nobody is asked for a key, although there have been some in %s",
                settings.keys_path,
            )
        return 0
    try:
        keys = open_key_store(settings)
    except KeyFileError as error:
        raise StartError(str(error)) from error
    num_keys = len(keys.current())
    if not num_keys:
        _check_open(settings, is_open=keys.is_open())
    return num_keys


def _check_open(settings: Settings, *, is_open: bool) -> None:
    """Raise StartError where there are no keys and not everybody is wanted, or may not be."""
    make_one = "make one with 'caravan keys add NAME'"
    if not is_open and (settings.keys_file is not None or keys_file.have_been(settings.keys_path)):
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


class _AddressInUseError(StartError):
    """Another program listens there."""


def bound_socket(host: str, port: int) -> socket.socket:
    """Bind a socket at an address, so that a taken port is one line before any model is loaded.

    Nobody can connect before it listens. Raises StartError.
    """
    try:
        # The protocol matters: without it asyncio leaves Nagle's delay on, which costs 40 ms an answer.
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:
        # Names that are none at all are a ValueError.
        reason = error.strerror if isinstance(error, OSError) else "this is no name of a host"
        raise StartError(f"cannot listen on {host}:{port}: {reason}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        kind_of_error = _AddressInUseError if error.errno == errno.EADDRINUSE else StartError
        raise kind_of_error(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def listening_socket(host: str, port: int) -> socket.socket:
    """Bind a socket and listen. Raises StartError."""
    listener = bound_socket(host, port)
    try:
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def registry_for(settings: Settings, make_registry: MakeRegistry = registry_of) -> ModelRegistry:
    """Find the models, and load none of them. Raises StartError."""
    try:
        return make_registry(settings)
    except CatalogError as error:
        raise StartError(str(error)) from error


def check_responses(settings: Settings) -> str | None:
    """Say why responses cannot be stored where they are to be; None where they can."""
    from caravan.api.store import PlaceError, check_place

    try:
        if settings.responses_path is not None:
            check_place(settings.responses_path)
    except PlaceError as error:
        return str(error)
    return None


def web_for(settings: Settings, registry: ModelRegistry) -> "AppServer":
    """Open the web side, which takes more than half a second to import. Raises StartError."""
    from caravan.web.lifecycle import open_web

    return open_web(settings, registry)
