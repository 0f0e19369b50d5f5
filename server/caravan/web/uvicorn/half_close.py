"""Clients that have sent all they will: some wait for the answer, and some are gone, which looks the same."""

import asyncio
import socket
from collections.abc import Callable

# Quick answers go out before anybody is asked.
_FIRST_SECONDS = 0.05
_LOOK_SECONDS = 0.1
_ASK_SECONDS = 5.0


class HalfCloseWatch:
    """Finds out whether a client that closed its sending side still reads.

    A closed side is all that is seen of a closed connection, too, until something is sent: then the system of
    a client that is gone resets the connection. So `ask` sends what every client skips, and `gone` is called
    when there was a reset. Where nothing can be asked, the answer itself finds out.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        ask: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self._socket = transport.get_extra_info("socket")
        self._loop = loop
        self._ask, self._gone = ask, gone
        self._next_question = loop.time()
        self._timer = loop.call_later(_FIRST_SECONDS, self._look)

    def stop(self) -> None:
        """Look no further."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._socket.fileno() < 0:
            return
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._gone()
            return
        if self._loop.time() >= self._next_question:
            self._next_question = self._loop.time() + _ASK_SECONDS
            self._ask()
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
