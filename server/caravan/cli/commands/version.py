"""`caravan version`."""

from caravan.version import version


def command() -> None:
    """Print the version."""
    print(version())
