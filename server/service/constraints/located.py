"""Sound schemas into grammars; where that fails, the place that is to blame is searched for."""

import time
from typing import Any, cast
from urllib.parse import quote

from server.engine.grammar import GrammarCompiler, GrammarError
from server.engine.params import Constraint
from server.json_pointer import pointer, steps
from server.service.constraints.keywords import subschemas
from server.service.constraints.one_of import all_exclusive
from server.service.constraints.schema_check import SchemaError

_PREFIX = "failed to compile JSON schema: "
# Attempts at finding the place; each compiles a part of the schema. Others wait for the compiler meanwhile.
_MAX_ATTEMPTS = 200
_MAX_SECONDS = 1.0


def located(grammars: GrammarCompiler, root: dict[str, Any]) -> Constraint:
    """The grammar of a schema; raises SchemaError with the innermost place that cannot be enforced."""
    try:
        return grammars.from_schema(root, are_exclusive=all_exclusive(root))
    except GrammarError as error:
        raise _Search(grammars, root).blame(error) from error


class _Search:
    """Compiles parts of a schema that failed as a whole, going inward as long as a part fails by itself."""

    def __init__(self, grammars: GrammarCompiler, root: dict[str, Any]) -> None:
        self._grammars = grammars
        self._root = root
        # The whole schema moves under `$defs`, so that its references still lead somewhere.
        self._moved = _moved(root)
        self._are_exclusive = all_exclusive(root)
        self._num_attempts = 0
        self._deadline = time.monotonic() + _MAX_SECONDS

    def blame(self, error: GrammarError) -> SchemaError:
        path: tuple[str, ...] = ()
        seen: set[tuple[str, ...]] = set()
        while path not in seen:
            seen.add(path)
            for inner in self._parts(path):
                fault = self._fault(inner)
                if fault is not None:
                    path, error = inner, fault
                    break
        return self._explained(error.message.removeprefix(_PREFIX), path)

    def _explained(self, message: str, path: tuple[str, ...]) -> SchemaError:
        """The fault in our own words, and at the keyword, where there is only one that can be meant."""
        schema = _at(self._root, path)
        keyword = ""
        if message.startswith("oneOf constraints"):
            keyword, message = "oneOf", "is only supported where its schemas provably exclude each other"
        elif isinstance(schema, dict) and self._has_bad_pattern(schema):
            keyword = "pattern"
        if isinstance(schema, dict) and keyword in schema:
            path = (*path, keyword)
        return SchemaError(message.split("\n", 1)[0], path)

    def _has_bad_pattern(self, schema: dict[str, object]) -> bool:
        try:
            self._grammars.from_schema({"type": "string", "pattern": schema.get("pattern", "")})
        except GrammarError:
            return True
        return False

    def _parts(self, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        schema = _at(self._root, path)
        if not isinstance(schema, dict):
            return []
        parts = [path + step for step, _ in subschemas(schema) if step[0] not in ("$defs", "definitions")]
        if "$ref" in schema:
            parts.append(steps(schema["$ref"]))
        return parts

    def _fault(self, path: tuple[str, ...]) -> GrammarError | None:
        self._num_attempts += 1
        is_over = self._num_attempts > _MAX_ATTEMPTS or time.monotonic() > self._deadline
        if is_over or _at(self._root, path) is False:
            return None
        written = quote(pointer(path)) if path else ""
        try:
            schema = {"$ref": f"#/$defs/root{written}", "$defs": {"root": self._moved}}
            self._grammars.from_schema(schema, are_exclusive=self._are_exclusive)
        except GrammarError as error:
            return error
        return None


def _moved(value: object) -> object:
    """A schema whose references count from one level further out."""
    if isinstance(value, list):
        return [_moved(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: f"#/$defs/root{item[1:]}" if key == "$ref" and isinstance(item, str) else _moved(item)
        for key, item in value.items()
    }


def _at(root: object, path: tuple[str, ...]) -> object:
    for step in path:
        root = root[int(step)] if isinstance(root, list) else cast(dict[str, object], root)[step]
    return root
