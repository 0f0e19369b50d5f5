"""`caravan version`."""

from server.version import version


def command() -> None:
    """Print the version."""
    print(version())
