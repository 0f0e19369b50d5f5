"""`caravan serve`: settings into a running server."""

import asyncio
import logging

from server.cli.errors import CommandError
from server.cli.options import with_settings
from server.configuration import Configuration


def _serve(configuration: Configuration) -> None:
    """Serve models over HTTP until interrupted.

    Each option is an environment variable too (--context-size is CARAVAN_CONTEXT_SIZE) and a key of the file
    given with --config (context_size). A flag beats a variable, and a variable beats the file.
    """
    from server.serving import StartError, serve

    settings = configuration.settings
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        raise CommandError(str(error)) from error


command = with_settings(_serve)
