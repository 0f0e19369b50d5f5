"""`caravan serve`: settings into a running server."""

import asyncio

from caravan.cli.errors import CommandError
from caravan.cli.options import with_settings
from caravan.config.load import Configuration


def _serve(configuration: Configuration) -> None:
    """Serve models over HTTP until interrupted.

    Each option is an environment variable too (--context-size is CARAVAN_CONTEXT_SIZE) and a key of the file
    given with --config (context_size). A flag beats a variable, and a variable beats the file.
    """
    settings = configuration.settings
    if settings.loads_at_start:
        from caravan.engine.ipc import spawn

        spawn.launch_ahead()

    from caravan.observability import log_format
    from caravan.runtime import gc_tuning
    from caravan.web.serve import serve
    from caravan.web.startup_message import StartError

    gc_tuning.look_rarely()
    log_format.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        raise CommandError(str(error)) from error


command = with_settings(_serve)
