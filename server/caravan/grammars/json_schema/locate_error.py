"""Schemas into grammars; where that fails, the place that is to blame is searched for."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from caravan.grammars.compiler import GrammarCompiler, GrammarError
from caravan.grammars.constraint import Constraint
from caravan.grammars.json_schema.llguidance_fixes import prepared
from caravan.grammars.json_schema.normalize import PlainSchema, SchemaError, plain
from caravan.grammars.json_schema.references import Path

_PREFIX = "failed to compile JSON schema: "
# Attempts at finding the place; each compiles a part of the schema. Others wait for the compiler meanwhile.
_MAX_ATTEMPTS = 200
_MAX_SECONDS = 1.0


@dataclass(frozen=True)
class Located:
    """A schema, as it is kept to, and the grammar of that."""

    plain: PlainSchema
    constraint: Constraint


def located(
    grammars: GrammarCompiler,
    root: dict[str, Any],
    *,
    written: PlainSchema | None = None,
    is_lax: bool = False,
    dropped: Collection[Path] = (),
) -> Located:
    """Make the grammar of a schema; raises SchemaError with the innermost place that cannot be enforced.

    `is_lax` and `dropped` as in `plain`, which may have `written` it before.
    """
    written = written or plain(root, is_lax=is_lax, dropped=dropped)
    try:
        return Located(written, grammars.from_schema(prepared(written).schema))
    except GrammarError as error:
        search = _Search(grammars, root, written, is_lax=is_lax, dropped=dropped)
        raise search.blame(error) from error


class _Search:
    """Compiles parts of a schema that failed as a whole, going inward as long as a part fails by itself."""

    def __init__(
        self,
        grammars: GrammarCompiler,
        root: dict[str, Any],
        written: PlainSchema,
        *,
        is_lax: bool,
        dropped: Collection[Path],
    ) -> None:
        self._grammars = grammars
        self._root = root
        self._plain = written
        self._is_lax = is_lax
        self._dropped = dropped
        self._num_attempts = 0
        self._deadline = time.monotonic() + _MAX_SECONDS

    def blame(self, error: GrammarError) -> SchemaError:
        path = next(iter(self._plain.originals), ())
        seen: set[Path] = set()
        while path not in seen:
            seen.add(path)
            for inner in self._plain.inner.get(path, ()):
                fault = self._fault(inner)
                if fault is not None:
                    path, error = inner, fault
                    break
        return self._explained(error.message.removeprefix(_PREFIX), path)

    def _explained(self, message: str, path: Path) -> SchemaError:
        """The fault in our own words, and at the keyword, where there is only one that can be meant."""
        schema = self._plain.originals.get(path, {})
        keyword = ""
        if message.startswith("oneOf constraints"):
            keyword, message = "oneOf", "is only supported where its schemas provably exclude each other"
        elif self._has_bad_pattern(schema):
            keyword = "pattern"
        elif message.startswith("min/maxProperties"):
            keyword = "minProperties" if schema.get("minProperties") else "maxProperties"
            message = "is only supported where all declared properties are required"
        if keyword in schema:
            path = (*path, keyword)
        return SchemaError(message.split("\n", 1)[0], path)

    def _has_bad_pattern(self, schema: dict[str, Any]) -> bool:
        return "pattern" in schema and not is_pattern(self._grammars, schema["pattern"])

    def _fault(self, path: Path) -> GrammarError | None:
        self._num_attempts += 1
        if self._num_attempts > _MAX_ATTEMPTS or time.monotonic() > self._deadline:
            return None
        return fault_of(self._grammars, self._root, path, is_lax=self._is_lax, dropped=self._dropped)


def fault_of(
    grammars: GrammarCompiler, root: dict[str, Any], path: Path, *, is_lax: bool, dropped: Collection[Path]
) -> GrammarError | None:
    """Say why the part of a schema at a path cannot be enforced by itself, None if it can."""
    try:
        written = plain(root, at=path, is_lax=is_lax, dropped=dropped)
        grammars.from_schema(prepared(written).schema)
    except GrammarError as error:
        return error
    except SchemaError:
        # Nothing satisfies it, which its surroundings may allow for.
        return None
    return None


def is_pattern(grammars: GrammarCompiler, pattern: str) -> bool:
    """Tell whether a pattern can be enforced."""
    try:
        grammars.from_schema({"type": "string", "pattern": pattern})
    except GrammarError:
        return False
    return True
