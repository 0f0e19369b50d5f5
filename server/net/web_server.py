"""uvicorn's server, listening as this one does."""

import asyncio
import functools
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE


class WebServer(uvicorn.Server):
    """Serves on sockets that are handed to it. A TLS handshake may take `handshake_seconds`: until it is
    done, no limit on connections knows of the client.
    """

    def __init__(self, config: uvicorn.Config, *, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen; uvicorn's own version knows no limit of time for handshakes."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        make_connection = functools.partial(  # as uvicorn calls it
            self.config.http_protocol_class,  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                make_connection,
                sock=listener,
                backlog=self.config.backlog,
                ssl=self.config.ssl,
                ssl_handshake_timeout=self._handshake_seconds if self.config.ssl else None,
            )
            for listener in sockets or []
        ]
        self.started = True
