"""The input of custom tools out of JSON, however it is split."""

import json

import pytest
from caravan.chat.parsing.custom_input import CustomInput
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(), st.booleans(), st.data())
def test_any_input_in_any_pieces(text: str, ascii_only: bool, data: st.DataObject) -> None:
    whole = json.dumps({"input": text}, ensure_ascii=ascii_only)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reader = CustomInput()
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert "".join(map(reader.feed, pieces)) == text


@pytest.mark.parametrize("opening", ['{"input":"', '{ "input" : "', '\n{\n  "input": "'])
def test_white_space_does_not_matter(opening: str) -> None:
    reader = CustomInput()
    assert "".join(map(reader.feed, opening + 'a\\n"}')) == "a\n"


@pytest.mark.parametrize("half", ["\\ud83d", "\\udc00", "\\ud83d\\n", "\\ud83d\\u0041"])
def test_half_a_pair_becomes_a_character_that_can_be_sent(half: str) -> None:
    reader = CustomInput()
    text = "".join(map(reader.feed, f'{{"input": "a{half}b"}}'))
    assert text.startswith("a\ufffd")
    assert text.endswith("b")


def test_text_comes_as_soon_as_it_is_certain() -> None:
    reader = CustomInput()
    assert [reader.feed(piece) for piece in ('{"input": "ab', "c\\", "nd", '\\u00e9x"}')] == [
        "ab",
        "c",
        "\nd",
        "éx",
    ]
