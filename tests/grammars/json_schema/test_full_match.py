"""Patterns of schemas as expressions of whole texts."""

import re

import pytest
from caravan.grammars.json_schema.full_match import whole


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+$",
        "^a",
        "b$",
        "a",
        "a|b",
        "^(?:a|b)$",
        "^(a|b)+$",
        r"^\$[0-9]+\.$",
        r"[$^|]",
        r"a\|b$",
        "^[|]$",
        "",
        "^$",
    ],
)
def test_they_find_the_same(pattern: str) -> None:
    expression = whole(pattern)
    assert expression is not None
    for text in ("", "a", "b", "ab", "ba", "xay", "$1.", "$12.x", "|", "^", "a|b", "A", "xyz", "a\nb"):
        found = re.search(pattern, text)
        assert (re.fullmatch(expression, text) is not None) == (found is not None), text


@pytest.mark.parametrize(
    "pattern", ["^a|b$", "a|b$", "^a|b", "a^b", "(^a)", r"\bword\b", "(?=a)b", "(?m)^a$", "(?<!a)b"]
)
def test_what_is_not_known_is_nothing(pattern: str) -> None:
    assert whole(pattern) is None


def test_what_one_group_holds_is_as_it_is() -> None:
    assert whole("^(?:a|^b$)$") == "(?:a|^b$)"
