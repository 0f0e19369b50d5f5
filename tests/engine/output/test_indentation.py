"""Lines that are indented too little end the text, wherever it is cut into pieces."""

import pytest
from caravan.engine.output.detokenizer import Detokenizer, Indentation
from caravan.engine.params import SamplingParams

from tests.engine.output.test_detokenizer import Pieces

# How much is wanted, the text, and what is left of it.
CASES = [
    (0, "a\nb", "a\nb"),
    (1, "a\n b\n\tc\nd\n e", "a\n b\n\tc\n"),
    (4, "a\n    b\n  c", "a\n    b\n  "),
    (2, "no line ends", "no line ends"),
    (2, "a\n\n  b", "a\n"),
    (2, "a\n ", "a\n "),
    (2, "\n  a\nb", "\n  a\n"),
    (2, "a\n", "a\n"),
    (3, "a\n \t b\r\n\t\tc", "a\n \t b\r\n\t\t"),
]


@pytest.mark.parametrize(("least", "text", "left"), CASES)
@pytest.mark.parametrize("length", [1, 2, 3, 99])
def test_the_text_ends_where_a_line_has_too_little(least: int, text: str, left: str, length: int) -> None:
    indentation, passed = Indentation(least), ""
    for start in range(0, len(text), length):
        passed += indentation.passed(text[start : start + length])
        if indentation.has_ended:
            break
    assert passed == left
    assert indentation.has_ended == (left != text)


def test_before_it_may_end_lines_are_as_they_are() -> None:
    indentation = Indentation(2)
    assert indentation.passed("a\nb", may_end=False) == "a\nb"
    assert indentation.passed("c\nd") == "c\n"


def test_what_was_held_for_a_stop_string_is_cut_as_well() -> None:
    detokenizer = Detokenizer(Pieces([b"a", b"\nb"]), SamplingParams(stop=("\nbc",), n_indent=1))
    assert [detokenizer.push(0), detokenizer.push(1)] == ["a", ""]
    assert not detokenizer.is_cut
    assert detokenizer.finish() == "\n"
    assert (detokenizer.is_cut, detokenizer.stopped, detokenizer.finish()) == (True, False, "")
