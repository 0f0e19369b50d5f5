"""Where things are kept that outlive the server."""

import os
from pathlib import Path


def default_data_dir() -> Path:
    """The user's place for data, as the XDG base directory specification has it."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "caravan"
