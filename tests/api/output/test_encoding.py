"""The encoding of events."""

import json
import unicodedata

from caravan.api.output.encoding import json_string


def test_json_strings_say_what_the_text_says_on_one_line() -> None:
    """Every character of Unicode's planes that text can hold, in runs."""
    for start in range(0, 0x110000, 0x800):
        text = "".join(
            chr(point)
            for point in range(start, min(start + 0x800, 0x110000))
            if unicodedata.category(chr(point)) != "Cs"
        )
        encoded = json_string(text)
        assert json.loads(encoded) == text
        assert len(encoded.decode().splitlines()) <= 1
