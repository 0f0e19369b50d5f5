"""The keywords of one schema, of whatever draft, as the few of 2020-12 that are enforced.

What asks for nothing is left out. What asks for something in a roundabout way is written plainly, where that
can be done without looking further than the schema itself. All else is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from caravan.grammars.json_schema.keywords import CHECKS, FORMATS, NOT_ENFORCED, TYPES, is_annotation
from caravan.grammars.json_schema.references import Path

_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    *("additionalProperties", "unevaluatedProperties", "propertyNames", "items", "additionalItems"),
    *("unevaluatedItems", "contains", "not", "if", "then", "else"),
)
# They stand beside others, or say something about values that other keywords have found.
_APPLICATORS = ("$ref", "anyOf", "oneOf", "allOf", "if", "dependentSchemas")
_UNSUPPORTED = (
    *("not", "if", "contains", "dependentSchemas", "dependentRequired", "propertyNames"),
    *("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"),
)
# Numbers that are no integers, which no type names.
_FRACTION = "fraction"


@dataclass(frozen=True)
class Part:
    """A schema inside another, and where it stands in the whole."""

    path: Path
    schema: Any

    @property
    def is_open(self) -> bool:
        """Whether it lets everything be."""
        return self.schema is True or (isinstance(self.schema, dict) and all(map(is_annotation, self.schema)))


Report = Callable[[str, str], None]
Keywords = dict[str, Any]


def keywords(path: Path, schema: dict[str, Any], fault: Report, note: Report) -> Keywords:
    """Read what a schema asks for, its inner schemas as parts.

    `fault` is told of keywords that do not hold what they must, `note` of what no standard knows and of what
    readers can do without; both may raise, and otherwise the keyword is left out.
    Some that are left nothing enforces (`refuse_rest`). An `enum` without values says that nothing may be.
    """
    found: Keywords = {}
    for keyword, value in schema.items():
        check = CHECKS.get(keyword)
        if check is None:
            if not is_annotation(keyword) and value is not False:
                note(keyword, "is unknown")
        elif (complaint := check(value)) is not None:
            fault(keyword, complaint)
        elif keyword == "format" and value not in FORMATS:
            note(keyword, "is no format that is enforced")
        elif keyword not in ("$defs", "definitions"):
            found[keyword] = _wrapped(path, keyword, value)
    for rule in _RULES:
        rule(found)
    # What sets become. Whoever reads a set takes an item that comes twice for one.
    if found.pop("uniqueItems", False):
        note("uniqueItems", NOT_ENFORCED)
    return found


def refuse_rest(found: Keywords, fault: Callable[[str, str], None]) -> None:
    """Take out the keywords that nothing enforces, each told to `fault`."""
    for keyword in _UNSUPPORTED:
        if keyword in found:
            del found[keyword]
            fault(keyword, NOT_ENFORCED)


def _wrapped(path: Path, keyword: str, value: Any) -> Any:  # noqa: ANN401 (what a keyword holds)
    if keyword in _MAPS:
        is_plain = keyword == "dependencies"
        return {
            name: inner if is_plain and isinstance(inner, list) else Part((*path, keyword, name), inner)
            for name, inner in value.items()
        }
    if keyword in _LISTS or (keyword == "items" and isinstance(value, list)):
        return [Part((*path, keyword, str(place)), inner) for place, inner in enumerate(value)]
    return Part((*path, keyword), value) if keyword in _SINGLE else value


def _bounds(found: Keywords) -> None:
    """Draft 04 says by booleans that bounds are open."""
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        value = found.get(exclusive)
        if isinstance(value, bool):
            del found[exclusive]
            if value and inclusive in found:
                found[exclusive] = found.pop(inclusive)


def _counts(found: Keywords) -> None:
    for keyword in ("minItems", "minProperties", "minLength", "minContains"):
        if found.get(keyword) == 0 and not (keyword == "minContains" and "contains" in found):
            del found[keyword]
    for keyword in ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"):
        if keyword in found:
            found[keyword] = int(found[keyword])


def _tuples(found: Keywords) -> None:
    """Until 2019-09, `items` could be a list, with `additionalItems` for the rest."""
    rest = found.pop("additionalItems", None)
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if rest is not None:
            found["items"] = rest
    if not found.get("prefixItems", True):
        del found["prefixItems"]


def _dependencies(found: Keywords) -> None:
    """What depends on other properties, which is no more than asked for where it is asked for anyway."""
    for name, inner in found.pop("dependencies", {}).items():
        kind = "dependentRequired" if isinstance(inner, list) else "dependentSchemas"
        found.setdefault(kind, {})[name] = inner
    required = set(found.get("required", ()))
    names = found.get("dependentRequired", {}).values()
    if all(isinstance(those, list) and required.issuperset(map(str, those)) for those in names):
        found.pop("dependentRequired", None)
    if all(isinstance(part, Part) and part.is_open for part in found.get("dependentSchemas", {}).values()):
        found.pop("dependentSchemas", None)


def _conditions(found: Keywords) -> None:
    then, otherwise = found.pop("then", None), found.pop("else", None)
    if "if" not in found:
        return
    condition = found["if"]
    chosen = then if condition.is_open else otherwise if condition.schema is False else None
    branches = [part for part in (then, otherwise) if part is not None and not part.is_open]
    if not branches or condition.is_open or condition.schema is False:
        del found["if"]
        if chosen is not None and branches:
            found["allOf"] = [*found.get("allOf", ()), chosen]


def _negations(found: Keywords) -> None:
    """What may not be, where that is everything, nothing or all values of some types."""
    if "not" not in found:
        return
    part = found["not"]
    inner = part.schema if isinstance(part.schema, dict) else {}
    asked = {key for key in inner if not is_annotation(key)}
    if part.is_open:
        found.clear()
        found["enum"] = []
    elif part.schema is False or (asked == {"not"} and Part((), inner["not"]).is_open):
        del found["not"]
    elif asked == {"type"} and CHECKS["type"](inner["type"]) is None:
        left = _kinds(found.get("type", list(TYPES))) - _kinds(inner["type"])
        if _FRACTION not in left or "integer" in left:
            del found["not"]
            kinds = [kind for kind in TYPES if kind in left and not (kind == "integer" and _FRACTION in left)]
            found.update(
                {"type": [*kinds, *(["number"] if _FRACTION in left else [])]} if left else {"enum": []}
            )


def _kinds(named: Any) -> set[str]:  # noqa: ANN401 (what `type` holds)
    """Types that exclude each other."""
    kinds = set(named if isinstance(named, list) else [named])
    return (kinds - {"number"}) | {"integer", _FRACTION} if "number" in kinds else kinds


def _contains(found: Keywords) -> None:
    least = found.pop("minContains", 1)
    most = found.pop("maxContains", None)
    if "contains" in found and most is None and (least == 0 or _holds_one(found, least)):
        del found["contains"]


def _holds_one(found: Keywords, least: int) -> bool:
    return bool(found["contains"].is_open and found.get("minItems", 0) >= least)


def _unique(found: Keywords) -> None:
    if found.get("uniqueItems") is False or found.get("maxItems", 2) < 2:
        found.pop("uniqueItems", None)


def _names(found: Keywords) -> None:
    """Names that objects may have, where these are listed or match a pattern and no others are declared."""
    part = found.get("propertyNames")
    if part is None:
        return
    inner = part.schema if isinstance(part.schema, dict) else {}
    asked = {key: value for key, value in inner.items() if not is_annotation(key)}
    if asked.pop("type", "string") != "string" or part.schema is False or asked.keys() & {"format"}:
        return
    rest = found.get("additionalProperties", Part((), True))
    listed = [asked.pop("const")] if "const" in asked else asked.pop("enum", None)
    if isinstance(listed, list) and not asked and "patternProperties" not in found:
        known = found.get("properties", {})
        found["properties"] = {name: known.get(name, rest) for name in listed if isinstance(name, str)}
        found["additionalProperties"] = Part((), False)
    elif asked:
        pattern = _pattern(asked)
        if pattern is None or not {"properties", "patternProperties"}.isdisjoint(found):
            return
        found["patternProperties"] = {pattern: rest}
        found["additionalProperties"] = Part((), False)
    del found["propertyNames"]


def _pattern(asked: dict[str, Any]) -> str | None:
    """One pattern for names of which nothing but a pattern or a length is asked."""
    if asked.keys() == {"pattern"} and isinstance(asked["pattern"], str):
        return asked["pattern"]
    if asked.keys() <= {"minLength", "maxLength"} and all(CHECKS[k](v) is None for k, v in asked.items()):
        most = int(asked["maxLength"]) if "maxLength" in asked else ""
        return f"^(?s:.{{{int(asked.get('minLength', 0))},{most}}})$"
    return None


def _unevaluated(found: Keywords) -> None:
    """The rest, where nothing but the schema itself has looked at values."""
    for keyword, rest in (("unevaluatedProperties", "additionalProperties"), ("unevaluatedItems", "items")):
        part = found.get(keyword)
        if part is None:
            continue
        if part.is_open or rest in found:
            del found[keyword]
        elif not any(applicator in found for applicator in (*_APPLICATORS, "contains")):
            found[rest] = found.pop(keyword)


def _lists(found: Keywords) -> None:
    if "allOf" in found:
        found["allOf"] = [part for part in found["allOf"] if not part.is_open]
        if not found["allOf"]:
            del found["allOf"]
    # One that everything satisfies among others leaves nothing to ask.
    if any(part.is_open for part in found.get("anyOf", ())):
        del found["anyOf"]


_RULES: tuple[Callable[[Keywords], None], ...] = (
    *(_bounds, _counts, _tuples, _dependencies, _conditions, _negations, _contains, _unique, _names),
    *(_lists, _unevaluated),
)
