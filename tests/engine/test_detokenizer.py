"""Text out of bytes: whole characters, no stop string, nothing lost."""

import random

import pytest

from server.engine.detokenizer import Detokenizer


class Pieces:
    """A table in which token i is the i-th piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]

    def is_end_of_generation(self, token_id: int) -> bool:
        raise AssertionError(token_id)


def feed(pieces: list[bytes], stop: tuple[str, ...] = ()) -> list[str]:
    """What is let go, piece by piece, and at the end."""
    detokenizer = Detokenizer(Pieces(pieces), stop)
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


@pytest.mark.parametrize("seed", range(200))
def test_any_split_gives_the_text_before_the_first_stop(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice(["a", "b", "ab", "é", "🦙", "\n", "日"]) for _ in range(rng.randrange(60)))
    stop = tuple(
        "".join(rng.choice("ab🦙") for _ in range(rng.randrange(2, 5))) for _ in range(rng.randrange(3))
    )
    texts = feed(chop(text.encode(), rng), stop)
    cuts = [index for index in map(text.find, stop) if index >= 0]
    # Where one stop string ends before another that began earlier, the first to be complete counts.
    whole = "".join(texts)
    assert text.startswith(whole)
    assert not any(string in whole for string in stop)
    assert whole == text if not cuts else whole in {text[:cut] for cut in cuts}


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
