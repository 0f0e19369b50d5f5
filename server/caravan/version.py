"""The installed version, for those who ask."""

from importlib import metadata


def version() -> str:
    """Version of the installed distribution; a bare source tree has none."""
    try:
        return metadata.version("llama-caravan")
    except metadata.PackageNotFoundError:
        return "0+source"
