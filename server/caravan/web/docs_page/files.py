"""The files of the page at `/docs`: read and packed once, when somebody first asks for one."""

import functools
from collections.abc import Mapping
from pathlib import Path

from caravan.web.packed_file import KINDS, PackedFile, packed_file

STATIC = Path(__file__).with_name("static")
INDEX = "index.html"


@functools.cache
def docs_files() -> Mapping[str, PackedFile]:
    """Read all of them, by name. Two megabytes are packed the first time, so this is for a thread."""
    paths = sorted(path for path in STATIC.iterdir() if path.suffix in KINDS)
    return {path.name: packed_file(path.read_bytes(), KINDS[path.suffix]) for path in paths}
