"""What references in a schema lead to: by JSON pointers, anchors and the `$id`s of schemas inside it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urljoin

from caravan.grammars.json_schema.json_pointer import steps

Path = tuple[str, ...]

# What may look like a schema and is none.
_VALUES = ("const", "enum", "default", "example", "examples")
_MAX_VISITS = 50_000


class References:
    """Of one schema. Names may be written percent-encoded or as they are."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._uris: dict[str, Path] = {}
        self._bases: dict[Path, str] = {(): ""}
        self._anchors: dict[tuple[Path, str], Path] = {}
        self._collect()

    def find(self, path: Path, reference: str) -> Path:
        """Find the path of what a reference at a path leads to; raises LookupError."""
        uri, _, fragment = reference.partition("#")
        resource = self._resource(path)
        if uri:
            resource = self._named(resource, uri)
        if not fragment:
            return resource
        if not fragment.startswith("/"):
            return self._anchors[(resource, unquote(fragment))]
        inner = steps(f"#{fragment}")
        # Some write pointers from the outermost schema, whatever is in between.
        for start in dict.fromkeys((resource, ())):
            try:
                self.at(start + inner)
            except LookupError:
                continue
            return start + inner
        raise LookupError(reference)

    def at(self, path: Path) -> Any:  # noqa: ANN401 (any JSON value)
        """Return what is at a path; raises LookupError."""
        found: Any = self._root
        for step in path:
            if isinstance(found, list) and step.isdecimal() and len(step) <= 6:
                found = found[int(step)]
            elif isinstance(found, dict):
                found = found[step]
            else:
                raise LookupError(path)
        return found

    def _resource(self, path: Path) -> Path:
        return next(path[:n] for n in range(len(path), -1, -1) if path[:n] in self._bases)

    def _named(self, resource: Path, uri: str) -> Path:
        for name in (_joined(self._bases[resource], uri), uri, unquote(uri)):
            if name in self._uris:
                return self._uris[name]
        raise LookupError(uri)

    def _collect(self) -> None:
        for path, schema in self._objects():
            name = schema.get("$id", schema.get("id"))
            resource = self._resource(path)
            if isinstance(name, str) and name.startswith("#"):
                self._anchors.setdefault((resource, name[1:]), path)
            elif isinstance(name, str) and ("$id" in schema or not path):
                uri = _joined(self._bases[resource], name.rstrip("#"))
                self._bases[path] = uri
                self._uris.setdefault(uri, path)
                self._uris.setdefault(name, path)
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(anchor := schema.get(keyword), str):
                    self._anchors.setdefault((self._resource(path), anchor), path)

    def _objects(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """All that may be a schema, outer ones first."""
        waiting: list[tuple[Path, Any]] = [((), self._root)]
        for _ in range(_MAX_VISITS):
            if not waiting:
                return
            path, value = waiting.pop()
            if isinstance(value, dict):
                yield path, value
                waiting.extend(((*path, key), inner) for key, inner in value.items() if key not in _VALUES)
            elif isinstance(value, list):
                waiting.extend(((*path, str(place)), inner) for place, inner in enumerate(value))


def _joined(base: str, uri: str) -> str:
    try:
        return urljoin(base, uri)
    except ValueError:
        return uri
