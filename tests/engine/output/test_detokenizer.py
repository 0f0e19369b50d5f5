"""Text out of bytes: whole characters, no stop string, nothing lost."""

import random

import pytest
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.params import SamplingParams


class Pieces:
    """A table in which token i is the i-th piece."""

    marker_ids: frozenset[int] = frozenset()

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]

    def raw_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id] or b"<control>"

    def spell(self, text: str) -> list[int]:
        return [self.pieces.index(text.encode())]

    @property
    def end_of_generation_ids(self) -> frozenset[int]:
        return frozenset()


def feed(
    pieces: list[bytes], stop: tuple[str, ...] = (), *, limit: int = 1, include: bool = False
) -> list[str]:
    """What is let go, piece by piece, and at the end."""
    params = SamplingParams(stop=stop, stop_limit=limit, include_stop=include)
    detokenizer = Detokenizer(Pieces(pieces), params)
    texts = []
    for token_id in range(len(pieces)):
        texts.append(detokenizer.push(token_id))
        if detokenizer.stopped:
            break
    return [*texts, detokenizer.finish()]


def chop(data: bytes, rng: random.Random) -> list[bytes]:
    """The same bytes in random pieces."""
    pieces = []
    while data:
        size = rng.randrange(1, 5)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def cut_at_stop(text: str, stop: tuple[str, ...], limit: int, *, include: bool) -> str:
    """The text up to the `limit`-th stop string, found by looking at the whole."""
    place = 0
    for number in range(1, limit + 1):
        found = [(text.find(string, place), len(string)) for string in stop]
        start, length = min(((i, n) for i, n in found if i >= 0), default=(-1, 0))
        if start < 0:
            return text
        place = start + length
        if number == limit:
            return text[: place if include else start]
    return text


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("seed", range(100))
def test_any_split_gives_the_text_up_to_the_stop(seed: int, limit: int, include: bool) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice(["a", "b", "ab", "é", "🦙", "\n", "日"]) for _ in range(rng.randrange(80)))
    # No string inside another, none the beginning of another's end: there, the order of arrival would decide.
    stop = tuple(rng.sample(["ab", "ba🦙", "é\n", "🦙🦙", "日"], rng.randrange(3)))
    texts = feed(chop(text.encode(), rng), stop, limit=limit, include=include)
    assert "".join(texts) == cut_at_stop(text, stop, limit, include=include)


def test_a_character_is_never_cut() -> None:
    pieces = [bytes([byte]) for byte in "🦙é".encode()]
    assert feed(pieces) == ["", "", "", "🦙", "", "é", ""]


def test_an_unfinished_character_is_dropped_and_a_wrong_one_replaced() -> None:
    assert feed([b"a", "🦙".encode()[:3]]) == ["a", "", ""]
    assert "".join(feed([b"a\xff", b"b"])) == "a\ufffdb"


def test_the_beginning_of_a_stop_string_is_held_until_it_is_known() -> None:
    assert feed([b"x#", b"#", b"y"], ("###",)) == ["x", "", "##y", ""]
    assert feed([b"x#", b"##y"], ("###",)) == ["x", "", ""]
    assert feed([b"x", b"##"], ("###",)) == ["x", "", "##"]


def test_control_tokens_have_text_if_they_are_to_be_shown() -> None:
    table = Pieces([b"a", b"", b"", b"b"])
    hidden = Detokenizer(table, SamplingParams())
    assert "".join(map(hidden.push, range(4))) == "ab"
    shown = Detokenizer(table, SamplingParams(stop=("l>b",)), shown_token_ids=(0, 2))
    assert "".join(map(shown.push, range(4))) == "a<contro"
    assert shown.stopped
