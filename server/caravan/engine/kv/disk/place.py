"""Who else could change where a folder leads to: texts must not go into a folder of somebody else's."""

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

OWNER_ALONE = 0o700


def check_own(path: Path) -> int:
    """Return the mode of a folder that is this user's. Raises OSError over one that is not, or a link."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path} is somebody else's")
    return stat.S_IMODE(found.st_mode)


def tell_of_place(base: Path) -> None:
    """Log who else could put another folder in the place of one, or of one above it.

    Where only owners may rename what is theirs, as in /tmp, nobody else can.
    """
    for path in (base, *base.resolve().parents):
        found = path.stat()
        mode = found.st_mode
        who = None
        if mode & stat.S_IWOTH:
            who = "everybody"
        elif mode & stat.S_IWGRP and found.st_gid != os.getgid():
            who = f"whoever is of the group {found.st_gid}"
        elif found.st_uid not in (0, os.getuid()):
            who = f"the user {found.st_uid}"
        if who is not None and not mode & stat.S_ISVTX:
            log.warning("%s may write to %s, and keep prefixes from being stored or read below", who, path)
