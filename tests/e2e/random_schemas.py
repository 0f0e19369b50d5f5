"""Random JSON schemas, of all keywords that are enforced, that have at least one answer."""

import random
from typing import Any

Json = Any

_WORDS = ["name", "größe", "a b", 'q"uote', "日本", "x", "kind", "🙂", "back\\slash", "n0"]
_PATTERNS = ["^[a-z]{2,5}$", "^\\d{3}-\\d{4}$", "^(yes|no)$", "[0-9]", "^[äöü]+x?$", "^\\w{1,8}$"]
_FORMATS = ["date", "uuid", "ipv4", "time", "date-time"]


class RandomSchemas:
    """One schema after the other; equal seeds make equal schemas."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def schema(self) -> dict[str, Json]:
        """The next one: an object, an array or a plain value, perhaps with definitions, perhaps recursive."""
        schema = self._any(3)
        if self._rng.random() < 0.4:
            inner = self._any(1)
            # Beside `$defs`, the rest must not be a reference that a grammar would have to intersect.
            place = {"type": "array", "items": {"$ref": "#/$defs/it"}, "maxItems": 2}
            schema = {"$defs": {"it": inner, "other": schema}, **self._object({"here": place})}
        if self._rng.random() < 0.2:
            schema = {
                "$defs": {
                    "node": {
                        **self._object({"value": self._scalar()}),
                        "properties": {
                            "value": self._scalar(),
                            "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
                        },
                        "required": ["value", "next"],
                    }
                },
                "$ref": "#/$defs/node",
            }
        return schema

    def _any(self, depth: int) -> dict[str, Json]:
        kinds = [self._scalar]
        if depth > 0:
            kinds += [
                lambda: self._array(depth),
                lambda: self._tuple(depth),
                lambda: self._map(depth),
                lambda: self._object(self._properties(depth)),
                lambda: self._any_of(depth),
                lambda: self._one_of(depth),
                lambda: self._all_of(depth),
            ]
        return self._rng.choice(kinds)()

    def _scalar(self) -> dict[str, Json]:
        return self._rng.choice(
            [self._integer, self._number, self._string, self._string, self._enum, self._const, self._plain]
        )()

    def _plain(self) -> dict[str, Json]:
        return {"type": self._rng.choice(["boolean", "null", ["boolean", "null"]])}

    def _integer(self) -> dict[str, Json]:
        low = self._rng.randrange(-1000, 1000)
        schema: dict[str, Json] = {
            "type": "integer",
            "minimum": low,
            "maximum": low + self._rng.randrange(500),
        }
        if self._rng.random() < 0.3:
            schema = {
                "type": "integer",
                "exclusiveMinimum": low,
                "exclusiveMaximum": low + 9,
                "multipleOf": 3,
            }
        return schema

    def _number(self) -> dict[str, Json]:
        low = round(self._rng.uniform(-50, 50), 2)
        return {"type": "number", "minimum": low, "maximum": low + self._rng.choice([0.5, 1, 100])}

    def _string(self) -> dict[str, Json]:
        kind = self._rng.randrange(3)
        if kind == 0:
            return {"type": "string", "pattern": self._rng.choice(_PATTERNS), "maxLength": 12}
        if kind == 1:
            return {"type": "string", "format": self._rng.choice(_FORMATS)}
        low = self._rng.randrange(4)
        return {"type": "string", "minLength": low, "maxLength": low + self._rng.randrange(20)}

    def _enum(self) -> dict[str, Json]:
        values = [self._value() for _ in range(self._rng.randrange(1, 6))]
        return {"enum": values}

    def _const(self) -> dict[str, Json]:
        return {"const": self._value()}

    def _value(self) -> Json:
        return self._rng.choice([None, True, 0, -7, 2.5, "", "wörd", "\n", [], [1, "a"], {}, {"ü": [None]}])

    def _array(self, depth: int) -> dict[str, Json]:
        low = self._rng.randrange(3)
        return {
            "type": "array",
            "items": self._any(depth - 1),
            "minItems": low,
            "maxItems": low + self._rng.randrange(3),
        }

    def _tuple(self, depth: int) -> dict[str, Json]:
        items = [self._any(depth - 1) for _ in range(self._rng.randrange(1, 4))]
        return {
            "type": "array",
            "prefixItems": items,
            "items": self._rng.choice([False, {"type": "null"}]),
            "minItems": self._rng.randrange(len(items) + 1),
            "maxItems": len(items),
        }

    def _map(self, depth: int) -> dict[str, Json]:
        return {"type": "object", "additionalProperties": self._any(depth - 1), "maxProperties": 2}

    def _properties(self, depth: int) -> dict[str, Json]:
        names = self._rng.sample(_WORDS, self._rng.randrange(1, 4))
        return {name: self._any(depth - 1) for name in names}

    def _object(self, properties: dict[str, Json]) -> dict[str, Json]:
        required = [name for name in properties if self._rng.random() < 0.7]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _any_of(self, depth: int) -> dict[str, Json]:
        return {"anyOf": [self._any(depth - 1) for _ in range(self._rng.randrange(1, 4))]}

    def _one_of(self, depth: int) -> dict[str, Json]:
        tagged = []
        for tag in self._rng.sample(_WORDS, 2):
            schema = self._object({"tag": {"const": tag}, **self._properties(depth - 1)})
            tagged.append({**schema, "required": ["tag", *(n for n in schema["required"] if n != "tag")]})
        return {"oneOf": [*tagged, {"type": "boolean"}]}

    def _all_of(self, depth: int) -> dict[str, Json]:
        return {
            "allOf": [
                {"type": "object", "properties": {"left": self._any(depth - 1)}, "required": ["left"]},
                {"type": "object", "properties": {"right": self._scalar()}, "required": ["right"]},
                {"maxProperties": 2},
            ]
        }
