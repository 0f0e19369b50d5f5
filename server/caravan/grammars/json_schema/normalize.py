"""Schemas of any draft written plainly: in the keywords that are enforced, their references in one form.

What is left holds for the same JSON, but for what `unenforced` names.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from caravan.grammars.json_schema.dialects import Keywords, Part, keywords, refuse_rest
from caravan.grammars.json_schema.json_pointer import pointer
from caravan.grammars.json_schema.keywords import is_annotation
from caravan.grammars.json_schema.merge import Elsewhere, merged
from caravan.grammars.json_schema.references import Path, References

MAX_SCHEMAS = 5_000
MAX_DEPTH = 64
MAX_VALUES = 10_000

_NOT_A_SCHEMA = "must be a schema: an object or a boolean"
_MAX_REFERENCES = 64


class SchemaError(Exception):
    """What is wrong with a schema, and the JSON pointer of the place."""

    def __init__(self, message: str, path: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.pointer = pointer(path)


@dataclass(frozen=True)
class PlainSchema:
    """A schema as grammars are made of it.

    `places` says by identity which part of the original each schema in it is, `inner` which others each part
    holds or refers to. `unenforced` are keywords of the original that are not kept to.
    """

    schema: dict[str, Any]
    places: dict[int, Path]
    originals: dict[Path, dict[str, Any]]
    inner: dict[Path, list[Path]]
    unenforced: tuple[Path, ...]


def plain(
    root: dict[str, Any], *, at: Path = (), is_lax: bool = False, dropped: Collection[Path] = ()
) -> PlainSchema:
    """Write a schema, or the part of it at a path, plainly; raises SchemaError.

    With `is_lax`, keywords that cannot be enforced are left out, as are those that are `dropped`; without it
    they are refused.
    """
    writer = _Writer(root, is_lax=is_lax, dropped=dropped)
    schema = writer.whole(at)
    return PlainSchema(schema, writer.places, writer.originals, writer.inner, tuple(writer.unenforced))


class _Writer:
    def __init__(self, root: dict[str, Any], *, is_lax: bool, dropped: Collection[Path]) -> None:
        self._references = References(root)
        self._is_lax = is_lax
        self._dropped = frozenset(dropped)
        self._names: dict[Path, str] = {}
        self._num_schemas = self._num_values = 0
        self.places: dict[int, Path] = {}
        self.originals: dict[Path, dict[str, Any]] = {}
        self.inner: dict[Path, list[Path]] = {}
        self.unenforced: dict[Path, None] = dict.fromkeys(dropped)

    def whole(self, at: Path) -> dict[str, Any]:
        """Write the schema at a path with all that it refers to."""
        at = self._followed(at)
        found = self._schema(Part(at, self._references.at(at)), 0)
        if found is False:
            raise SchemaError("nothing satisfies it", at)
        schema = {} if found is True else found
        definitions: dict[str, Any] = {}
        # More names come up while these are written.
        while len(definitions) < len(self._names):
            path, name = list(self._names.items())[len(definitions)]
            definitions[name] = self._schema(Part(path, self._references.at(path)), 0)
        if definitions:
            schema = {"$defs": definitions, **schema}
        self.places[id(schema)] = at
        return schema

    def _followed(self, path: Path) -> Path:
        """Where an object's schema really is, if what is at a path does nothing but refer to it."""
        for _ in range(_MAX_REFERENCES):
            schema = self._references.at(path)
            if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
                break
            others = {key for key in schema if not is_annotation(key)} - {"$ref", "$defs", "definitions"}
            target = self._target(path, schema["$ref"])
            if target is None or not isinstance(self._references.at(target), dict):
                break
            if others and (others != {"type"} or not self._is_alike(path, target)):
                break
            path = target
        return path

    def _is_alike(self, path: Path, target: Path) -> bool:
        there = self._references.at(target)
        return isinstance(there, dict) and there.get("type") == self._references.at(path)["type"]

    def _target(self, path: Path, reference: str) -> Path | None:
        try:
            return self._references.find(path, reference)
        except LookupError:
            return None

    def _schema(self, part: Part, depth: int) -> dict[str, Any] | bool:
        path, schema = part.path, part.schema
        if isinstance(schema, bool) or path in self._dropped:
            return schema if isinstance(schema, bool) else True
        if not isinstance(schema, dict):
            self._fault(path, _NOT_A_SCHEMA)
            return True
        self._count(path, schema, depth)
        self.originals[path] = schema
        asked = {
            key: value for key, value in schema.items() if (*path, key) not in self._dropped or key == "oneOf"
        }

        def fault(keyword: str, message: str) -> None:
            self._fault((*path, keyword), message)

        found = keywords(path, asked, fault, lambda keyword, _: self._note((*path, keyword)))
        if found.get("enum") == []:
            return False
        self._resolve(path, found)
        if (*path, "oneOf") in self._dropped and "oneOf" in found:
            _loosen(found)
        found = merged(found, self._references)
        refuse_rest(found, fault)
        written = self._written(path, found, depth)
        if isinstance(written, dict):
            self.places.setdefault(id(written), path)
        return written

    def _count(self, path: Path, schema: dict[str, Any], depth: int) -> None:
        self._num_schemas += 1
        if self._num_schemas > MAX_SCHEMAS:
            raise SchemaError(f"has more than {MAX_SCHEMAS} schemas in it")
        if depth > MAX_DEPTH:
            raise SchemaError(f"is nested more than {MAX_DEPTH} deep", path)
        values = schema.get("enum")
        self._num_values += len(values) if isinstance(values, list) else 0
        if self._num_values > MAX_VALUES:
            raise SchemaError(f"has more than {MAX_VALUES} enum values", (*path, "enum"))

    def _resolve(self, path: Path, found: Keywords) -> None:
        """Have `$ref` name the path that it leads to, which may not be in a circle."""
        if "$ref" not in found:
            return
        reference = found.pop("$ref")
        target = self._target(path, reference)
        keyword = (*path, "$ref")
        if target is None:
            self._fault(keyword, f"points to nothing in this schema: {reference[:200]}")
        elif not isinstance(self._references.at(target), dict | bool):
            self._fault(keyword, "does not point to a schema")
        elif self._is_circular(path):
            self._fault(keyword, "refers to itself")
        else:
            found["$ref"] = Elsewhere(target)

    def _is_circular(self, path: Path) -> bool:
        seen: set[Path] = set()
        at: Path | None = path
        while at is not None and at not in seen:
            seen.add(at)
            schema = self._references.at(at)
            reference = schema.get("$ref") if isinstance(schema, dict) else None
            at = self._target(at, reference) if isinstance(reference, str) else None
        return at is not None

    def _written(self, path: Path, found: Keywords, depth: int) -> dict[str, Any] | bool:
        written: dict[str, Any] = {}
        for keyword, value in found.items():
            if isinstance(value, Elsewhere) and keyword == "$ref":
                written[keyword] = self._named(path, value.path)
            else:
                written[keyword] = self._value(path, value, depth)
        return _shortened(written)

    def _value(self, path: Path, value: Any, depth: int) -> Any:  # noqa: ANN401 (what a keyword holds)
        if isinstance(value, Part | Elsewhere):
            return self._part(path, value, depth)
        if isinstance(value, list) and value and isinstance(value[0], Part | Elsewhere):
            return [self._part(path, part, depth) for part in value]
        if isinstance(value, dict) and any(isinstance(part, Part | Elsewhere) for part in value.values()):
            return {name: self._part(path, part, depth) for name, part in value.items()}
        return value

    def _part(self, path: Path, part: Part | Elsewhere, depth: int) -> dict[str, Any] | bool:
        self.inner.setdefault(path, []).append(part.path)
        if isinstance(part, Part):
            return self._schema(part, depth + 1)
        written = {"$ref": self._named(path, part.path)}
        self.places[id(written)] = part.path
        return written

    def _named(self, path: Path, target: Path) -> str:
        self.inner.setdefault(path, []).append(target)
        name = self._names.setdefault(target, f"d{len(self._names)}")
        return f"#/$defs/{name}"

    def _fault(self, path: Path, message: str) -> None:
        if not self._is_lax:
            raise SchemaError(message, path)
        self._note(path)

    def _note(self, path: Path) -> None:
        self.unenforced[path] = None


def _shortened(written: dict[str, Any]) -> dict[str, Any] | bool:
    """A schema without lists of schemas that ask for nothing, or for no more than one of them does."""
    if "allOf" in written:
        written["allOf"] = [schema for schema in written["allOf"] if schema not in (True, {})]
        if written.keys() == {"allOf"} and len(written["allOf"]) == 1:
            only: dict[str, Any] | bool = written["allOf"][0]
            return only
        if not written["allOf"]:
            del written["allOf"]
    if any(schema in (True, {}) for schema in written.get("anyOf", ())):
        del written["anyOf"]
    return written


def _loosen(found: Keywords) -> None:
    """One of some schemas, or several of them."""
    options = found.pop("oneOf")
    found.setdefault("anyOf", options)


def schemas_of(schema: object) -> Iterator[dict[str, Any]]:
    """List a plain schema and all that are in it."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            for keyword, value in found.items():
                if keyword in ("$defs", "properties", "patternProperties"):
                    waiting.extend(value.values())
                elif keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
                    waiting.extend(value)
                elif keyword in ("items", "additionalProperties"):
                    waiting.append(value)
