"""The page's files: read once, packed once, and known by a version that changes with any of them."""

import functools
import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_FOLDER = Path(__file__).with_name("static")
_INDEX = "index.html"
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
# What a module imports from the beginning on; what it imports later is `import(...)`.
_IMPORT = re.compile(r'^(?:import|export)\b[^;"(]*"(\.{1,2}/[^"]+)"', re.MULTILINE)
# Modules that the first sight needs.
_FIRST = ("app.js", "chat/view.js")
_STYLES = "style/*.css"


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """A file as it is sent, as it is and packed by gzip."""

    body: bytes
    packed: bytes
    kind: str
    tag: str


@dataclass(frozen=True, kw_only=True)
class PageFiles:
    """All files by their paths below `static/`, and the document that loads them."""

    version: str
    files: Mapping[str, PageFile]
    index: PageFile


@functools.cache
def page_files() -> PageFiles:
    """Read the files of the package; always the same ones, so it is done once."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in _KINDS)
    files = {path.relative_to(_FOLDER).as_posix(): _file(path.read_bytes(), path.suffix) for path in paths}
    index = files.pop(_INDEX)
    every = [index.tag, *(f"{name} {file.tag}" for name, file in files.items())]
    version = _digest("\n".join(every).encode())
    return PageFiles(version=version, files=files, index=_index(index, files, version))


def _file(body: bytes, suffix: str) -> PageFile:
    packed = gzip.compress(body, mtime=0)
    return PageFile(body=body, packed=packed, kind=_KINDS[suffix], tag=f'"{_digest(body)}"')


def _index(template: PageFile, files: Mapping[str, PageFile], version: str) -> PageFile:
    """The document, which names the styles and, so that none waits for another, the first modules."""
    base = f"page/{version}"
    styles = sorted(name for name in files if PurePosixPath(name).match(_STYLES))
    lines = [f'<link rel="stylesheet" href="{base}/{name}">' for name in styles]
    lines += [f'<link rel="modulepreload" href="{base}/{name}">' for name in _modules(files)]
    text = template.body.decode().replace("{{base}}", base).replace("{{links}}", "\n".join(lines))
    return _file(text.encode(), ".html")


def _modules(files: Mapping[str, PageFile]) -> list[str]:
    """What the first modules import, and what those import, as far as it goes."""
    found: dict[str, None] = {}
    waiting = list(_FIRST)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += _imports(name, files[name].body.decode())
    return sorted(found)


def _imports(name: str, text: str) -> Iterator[str]:
    for match in _IMPORT.finditer(text):
        parts: list[str] = []
        for part in (*PurePosixPath(name).parent.parts, *match[1].split("/")):
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        yield "/".join(parts)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
