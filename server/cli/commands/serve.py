"""`caravan serve`: settings into a running server."""

import asyncio

from server.cli.errors import CommandError
from server.cli.options import with_settings
from server.configuration import Configuration


def _serve(configuration: Configuration) -> None:
    """Serve models over HTTP until interrupted.

    Each option is an environment variable too (--context-size is CARAVAN_CONTEXT_SIZE) and a key of the file
    given with --config (context_size). A flag beats a variable, and a variable beats the file.
    """
    settings = configuration.settings
    if settings.loads_at_start:
        from server.engine import launch

        launch.launch_ahead()

    from server import garbage, logs
    from server.serving import serve
    from server.startup import StartError

    garbage.look_rarely()
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        raise CommandError(str(error)) from error


command = with_settings(_serve)
