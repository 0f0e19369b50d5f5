"""Where things are kept that outlive the server, and what a path stands for."""

import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def default_data_dir() -> Path:
    """The user's place for data, as the XDG base directory specification has it."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "caravan"


def special_kind(path: Path) -> str | None:
    """What is at `path` if it is no regular file, such as "a named pipe"; None where it is one, or missing.

    Opening such a thing may block for ever.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)


def file_path(path: Path) -> Path:
    """The path of an option that names a file, `~` expanded. Raises ValueError over anything but a file."""
    path = path.expanduser()
    if (kind := special_kind(path)) is not None:
        raise ValueError(f"'{path}' is {kind}, and a regular file is needed")
    return path


def folder_path(path: Path) -> Path:
    """The path of an option that names a folder, `~` expanded. Raises ValueError over anything else."""
    path = path.expanduser()
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"'{path}' is {special_kind(path) or 'a file'}, and a folder is needed")
    return path
