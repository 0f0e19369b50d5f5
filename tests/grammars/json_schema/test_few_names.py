"""Patterns of which all names can be told, and those of which that is not tried."""

import pytest
from caravan.grammars.json_schema.few_names import has_too_few, names_of


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("^a$", {"a"}),
        ("^(red|green|blue)$", {"red", "green", "blue"}),
        ("^$", {""}),
        ("^(ab?|a b)$", {"a", "ab", "a b"}),
        (r"^\d$", set("0123456789")),
        ('^["\\\\é]$', {'"', "\\", "é"}),
        ("^(?i:ab)$", {"ab", "aB", "Ab", "AB"}),
        ("^x{900}$", {"x" * 900}),
    ],
)
def test_few_names_are_told(pattern: str, names: set[str]) -> None:
    assert names_of(pattern) == frozenset(names)


@pytest.mark.parametrize(
    "pattern",
    ["^a+$", "a", "^x", "^.$", "^[a-z]{10}$", "^(?s:.{2,4})$", "[", "(?=a)", "^" + "x" * 2_000 + "$"],
)
def test_many_are_not_looked_for(pattern: str) -> None:
    assert names_of(pattern) is None
    assert not has_too_few([], [pattern], 1_000)


def test_names_are_counted_once() -> None:
    assert has_too_few(["a", "b"], ["^(a|b)$"], 3)
    assert not has_too_few(["a", "c"], ["^(a|b)$"], 3)
