"""uvicorn as this server runs it."""

import functools
import logging
import math
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn

from caravan.config.settings import Settings
from caravan.web.uvicorn.connection_limit import ConnectionLimiter
from caravan.web.uvicorn.h11_protocol import Connection, ConnectionLimits
from caravan.web.uvicorn.rare_lines import make_rare

# Seconds for the errors that end what is left, once the grace of running requests is over.
_DRAIN_SECONDS = 10


class WebConfig(uvicorn.Config):
    """uvicorn's own, and the crowd of its connections."""

    crowd: ConnectionLimiter


def web_config(
    app: Callable[..., Any],
    settings: Settings,
    *,
    max_connections: int,
    count_error: Callable[[str], object],
    tls: ssl.SSLContext | None = None,
) -> WebConfig:
    """Serve `app` within the limits of the settings; `count_error` is told codes of what no route refused."""
    limits = ConnectionLimits(
        max_head_bytes=settings.max_header_bytes,
        head_seconds=settings.head_seconds,
        write_seconds=settings.write_seconds,
    )
    crowd = ConnectionLimiter(max_connections)
    connection = functools.partial(Connection, limits, crowd, count_error)
    config = WebConfig(
        app,
        # It is called, as a class is, and fractions of seconds are fine.
        http=connection,  # type: ignore[arg-type]
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
        # Its lines of routine are for those who look for a fault.
        log_config=None,
        log_level="debug" if settings.log_level == "debug" else "warning",
        access_log=False,
        # Whom a proxy speaks for, `caravan.web.local_callers` reads, more strictly; nothing else asks.
        proxy_headers=False,
        ws="none",
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds) + _DRAIN_SECONDS,
    )
    config.crowd = crowd
    make_rare(logging.getLogger("uvicorn.error"))
    return config
