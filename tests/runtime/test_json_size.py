"""What is counted in bodies before they are read."""

import json
from collections.abc import Iterator

import pytest
from caravan.errors import InvalidRequestError
from caravan.runtime import json_size
from caravan.runtime.json_size import checked_size
from hypothesis import given
from hypothesis import strategies as st

TEXTS = st.text(alphabet='ab"\\[]{},:\n é🦙')
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=40,
)


def walk(document: object) -> Iterator[object]:
    """Each value in a document, and each name."""
    yield document
    if isinstance(document, dict):
        yield from document
        document = list(document.values())
    for inner in document if isinstance(document, list) else ():
        yield from walk(inner)


@given(document=DOCUMENTS, is_ascii=st.booleans())
def test_nothing_is_missed_and_what_stands_in_texts_is_none(document: object, is_ascii: bool) -> None:
    body = json.dumps(document, ensure_ascii=is_ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        # So that it never suffices to count all bytes.
        patch.setattr(json_size, "_is_fine", lambda _size: False)
        size = checked_size(body)
    found = list(walk(document))
    num_strings = sum(isinstance(value, str) for value in found)
    assert size.num_containers == sum(isinstance(value, list | dict) for value in found)
    assert size.num_strings == num_strings
    assert size.num_names == sum(len(value) for value in found if isinstance(value, dict))
    assert size.num_values >= len(found) - num_strings - 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"[" * 100_000, "100000 arrays and objects"),
        (b"[" + b",".join([b"{}"] * 70_000) + b"]", "70001 arrays and objects"),
        (b"[" + b",".join([b'""'] * 300_000) + b"]", "300000 texts and names"),
        (b"{" + b",".join([b'"":1'] * 70_000) + b"}", "70000 names"),
        (b"[" + b",".join([b"1"] * 1_100_000) + b"]", "1100000 values"),
        (b'"' * 1_000_000, "500000 texts and names"),
    ],
)
def test_too_much_is_refused_by_what_it_is_too_much_of(body: bytes, what: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked_size(body)
    assert what in caught.value.message
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize("text", ['[{"' * 500_000, '\\"[' * 400_000, "\\\\[" * 400_000, ", " * 2_000_000])
def test_a_long_text_is_one_value_whatever_stands_in_it(text: str) -> None:
    body = json.dumps({"prompt": text, "n": 1}).encode()
    checked_size(body)
