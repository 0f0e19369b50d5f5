"""The files of the page at `/docs`: read and packed once, when somebody first asks for one."""

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).with_name("static")
INDEX = "index.html"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, kw_only=True)
class DocsFile:
    """A file as it is sent: as it is, and packed by gzip."""

    body: bytes
    packed: bytes
    kind: str
    tag: str


@functools.cache
def docs_files() -> Mapping[str, DocsFile]:
    """Read all of them, by name. Two megabytes are packed the first time, so this is for a thread."""
    paths = sorted(path for path in STATIC.iterdir() if path.suffix in _KINDS)
    return {path.name: packed(path.read_bytes(), _KINDS[path.suffix]) for path in paths}


def packed(body: bytes, kind: str) -> DocsFile:
    """Pack what is sent more than once."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return DocsFile(body=body, packed=gzip.compress(body, mtime=0), kind=kind, tag=tag)
