"""References in schemas, by every way that they are written."""

from typing import Any

import pytest
from caravan.grammars.json_schema.references import References

ROOT: dict[str, Any] = {
    "$id": "https://example.org/root.json",
    "$defs": {
        "Box<number>": {"type": "number"},
        "a b/c~d": {"type": "string"},
        "100%": {"type": "null"},
        "größe": True,
        "anchored": {"$anchor": "here"},
        "other": {"$id": "other.json", "$defs": {"x": {"$anchor": "there"}}, "items": {"$ref": "#/$defs/x"}},
        "old": {"$id": "#old-name"},
        "T0": {"$id": "T0", "type": "object"},
    },
    "properties": {"a": {"items": [{"type": "null"}]}, "const": {"const": {"$id": "value"}}},
}


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ("#", ()),
        ("", ()),
        ("#/$defs/Box<number>", ("$defs", "Box<number>")),
        ("#/$defs/Box%3Cnumber%3E", ("$defs", "Box<number>")),
        ("#/%24defs/a%20b~1c~0d", ("$defs", "a b/c~d")),
        ("#/$defs/100%25", ("$defs", "100%")),
        ("#/$defs/100%", ("$defs", "100%")),
        ("#/$defs/gr%C3%B6%C3%9Fe", ("$defs", "größe")),
        ("#/properties/a/items/0", ("properties", "a", "items", "0")),
        ("#here", ("$defs", "anchored")),
        ("#old-name", ("$defs", "old")),
        ("other.json", ("$defs", "other")),
        ("other.json#/$defs/x", ("$defs", "other", "$defs", "x")),
        ("https://example.org/other.json#there", ("$defs", "other", "$defs", "x")),
        ("https://example.org/root.json#here", ("$defs", "anchored")),
        ("T0", ("$defs", "T0")),
    ],
)
def test_references_lead_somewhere(reference: str, path: tuple[str, ...]) -> None:
    assert References(ROOT).find((), reference) == path


def test_they_count_from_the_schema_that_has_a_name() -> None:
    references = References(ROOT)
    inside = ("$defs", "other", "items")
    assert references.find(inside, "#/$defs/x") == ("$defs", "other", "$defs", "x")
    assert references.find(inside, "#there") == ("$defs", "other", "$defs", "x")
    assert references.find(inside, "#/properties/a") == ("properties", "a")


@pytest.mark.parametrize(
    "reference", ["#/$defs/none", "#nowhere", "none.json", "#/properties/a/items/7", "value", "#/$id/x"]
)
def test_what_leads_nowhere_says_so(reference: str) -> None:
    with pytest.raises(LookupError):
        References(ROOT).find((), reference)
