"""What others have written, on a terminal: nothing moves a cursor or looks like a line that it is not."""

import pytest
from caravan.cli.chat import terminal
from caravan.cli.chat.client import Piece
from caravan.cli.errors import complain
from caravan.runtime.plain_text import plain_line, plain_text

CLEARS = "a\x1b[2Jb\x9b2J\x07"


def test_a_line_has_no_line_in_it_and_a_text_has() -> None:
    assert plain_line("a\nb\tc\u2028\u202e") == "a\\nb\tc\\u2028\\u202e"
    assert plain_text("a\r\nb\tc\r\x1b") == "a\r\nb\tc\\r\\x1b"
    family = "👩\u200d👧 été 模型"
    assert plain_text(family) == family


def test_a_models_words_and_those_of_a_server_are_only_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = terminal._Shown()
    shown.add(Piece(text=f"Hello\n{CLEARS}"))
    complain(CLEARS, 1)
    printed = capsys.readouterr()
    assert printed.out == "Hello\na\\x1b[2Jb\\x9b2J\\x07"
    assert printed.err.count("\\x1b") == 1
    assert "\x1b" not in printed.err
