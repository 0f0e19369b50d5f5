"""The page's files: read once, packed once, and known by a version that changes with any of them."""

import base64
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from caravan.web.packed_file import KINDS, PackedFile, digest, packed_file

_FOLDER = Path(__file__).with_name("static")
_INDEX = "index.html"
# What a module imports from the beginning on; what it imports later is `import(...)`.
_IMPORT = re.compile(r'^(?:import|export)\b[^;"(]*"(\.{1,2}/[^"]+)"', re.MULTILINE)
# Modules that the first sight needs.
_FIRST = ("app.js", "chat/view.js")
_STYLES = "style/*.css"
# These stand in the document itself, as the styles do: the first paint needs nothing else.
_INLINE = ("lib/theme_first.js", "lib/modules_later.js")


@dataclass(frozen=True, kw_only=True)
class PageFiles:
    """All files by their paths below `static/`, and the document that loads them.

    `scripts` and `style` name what stands in the document as a Content-Security-Policy does, by its hash.
    """

    version: str
    files: Mapping[str, PackedFile]
    index: PackedFile
    scripts: str
    style: str


@functools.cache
def page_files() -> PageFiles:
    """Read the files of the package; always the same ones, so it is done once."""
    paths = sorted(path for path in _FOLDER.rglob("*") if path.suffix in KINDS)
    bodies = {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in paths}
    template = bodies.pop(_INDEX).decode()
    styles = [name for name in bodies if PurePosixPath(name).match(_STYLES)]
    style = "\n".join(bodies.pop(name).decode() for name in styles)
    template = template.replace("{{style}}", style)
    scripts = {PurePosixPath(name).stem: bodies.pop(name).decode() for name in _INLINE}
    for name, script in scripts.items():
        template = template.replace(f"{{{{{name}}}}}", script)
    files = {name: packed_file(body, KINDS[PurePosixPath(name).suffix]) for name, body in bodies.items()}
    version = digest("\n".join([template, *(f"{name} {file.tag}" for name, file in files.items())]).encode())
    return PageFiles(
        version=version,
        files=files,
        index=_index(template, files, version),
        scripts=" ".join(map(_source, scripts.values())),
        style=_source(style),
    )


def _source(text: str) -> str:
    """Write what a policy allows by its hash (Content Security Policy Level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _index(template: str, files: Mapping[str, PackedFile], version: str) -> PackedFile:
    """The document, which names the first modules, so that none waits for another."""
    base = f"page/{version}"
    lines = [f'<link rel="modulepreload" href="{base}/{name}">' for name in _modules(files)]
    text = template.replace("{{base}}", base).replace("{{modules}}", "\n".join(lines))
    return packed_file(text.encode(), KINDS[".html"])


def _modules(files: Mapping[str, PackedFile]) -> list[str]:
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
