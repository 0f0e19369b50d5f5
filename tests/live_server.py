"""A real uvicorn on a free port, in a thread, over whatever model a test brings."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator

from caravan.config.load import read_configuration
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.models import ModelRegistry
from caravan.observability.tracing import Tracing
from caravan.web.app import create_app
from caravan.web.uvicorn.server import WebServer
from caravan.web.uvicorn.tls import server_context

from tests.waiting import PATIENCE, wait_until


@contextlib.contextmanager
def live_server(
    registry: ModelRegistry,
    settings: Settings | None = None,
    *,
    tracing: Tracing | None = None,
    opens_batches: bool = False,
) -> Generator[str, None, None]:
    """Serve the models of `registry`; the value is the address without `/v1`.

    With `opens_batches`, those of an earlier server go on.
    """
    settings = settings or read_configuration({}).settings
    app = create_app(settings, registry, tracing)
    server = WebServer(
        app,
        settings,
        max_connections=settings.max_connections,
        count_error=app.state.services.metrics.count_error,
        tls=server_context(settings),
    )
    server.config.timeout_graceful_shutdown = 1

    async def run(listener: socket.socket) -> None:
        await registry.start()
        if opens_batches:
            await app.state.services.batches.open()
        await server.serve(sockets=[listener])

    # asyncio switches Nagle's delay off only on sockets that name their protocol.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=lambda: asyncio.run(run(listener)))
        thread.start()
        try:
            wait_until(lambda: server.started)
            scheme = "http" if settings.tls_certificate is None else "https"
            yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
    assert not thread.is_alive()


def engine_of(registry: ModelRegistry, name: str) -> AsyncEngine:
    """The engine of a loaded model, for a look inside."""
    model = registry.loaded(name)
    assert model is not None
    assert isinstance(model.engine, AsyncEngine)
    return model.engine
