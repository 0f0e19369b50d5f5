"""Drafts from the text itself, against a search of all of it."""

import itertools
import random

import numpy as np
import pytest
from caravan.engine.drafts.ngram import GramIndex, NgramProposer

_MIN = 3
_MOST_COMPARED = 32


def _reference(text: list[int], most: int) -> list[int]:
    """What follows the latest of the places that have the longest end in common with the text, as many tokens
    at most.
    """
    best, place = 0, 0
    for end in range(1, len(text)):
        length = 0
        while length < min(end, _MOST_COMPARED) and text[end - 1 - length] == text[len(text) - 1 - length]:
            length += 1
        if length >= max(best, _MIN):
            best, place = length, end
    if not best:
        return []
    period = len(text) - place
    return [text[place + number % period] for number in range(min(most, best))]


def _texts(seed: int) -> list[int]:
    """Repeats of itself with changes, over few tokens, so that there are many places and ties."""
    rng = random.Random(seed)
    text = [rng.randrange(rng.choice((3, 40))) for _ in range(40)]
    while len(text) < 400:
        start = rng.randrange(len(text))
        text += text[start : start + rng.randrange(1, 40)]
        text.append(rng.randrange(40))
    return text


@pytest.mark.parametrize("seed", range(6))
def test_the_longest_and_latest_place_is_found(seed: int) -> None:
    text = _texts(seed)
    proposer, rng, known = NgramProposer(), random.Random(seed), 0
    # All places are looked at, as long as there are few enough of each.
    while known < len(text):
        known += rng.choice((1, 1, 1, 5, 60))
        most = rng.randrange(1, 12)
        found = proposer.propose(text[:known], most)
        expected = _reference(text[:known], most)
        if _num_places(text[:known]) <= 64:
            assert found == expected
        else:
            assert len(found) == len(expected)


def _num_places(text: list[int]) -> int:
    end = text[-_MIN:]
    return sum(text[start : start + _MIN] == end for start in range(len(text) - _MIN))


@pytest.mark.parametrize("seed", range(3))
def test_a_draft_is_how_the_text_went_on_after_its_own_end(seed: int) -> None:
    """Where one run stands at hundreds of places, too."""
    rng = random.Random(seed)
    text = [rng.randrange(2) for _ in range(5000)]
    proposer = NgramProposer()
    for known in range(4000, 4100):
        found = proposer.propose(text[:known], 4)
        grown = text[:known] + found
        run = grown[known - _MIN : known + 4]
        assert any(grown[start : start + len(run)] == run for start in range(known - _MIN))


def test_a_text_that_goes_round_goes_on_going_round() -> None:
    assert NgramProposer().propose([1, 2, 3, 4, 5, 3, 4, 5, 3, 4, 5], 5) == [3, 4, 5, 3, 4]


@pytest.mark.parametrize("text", [[], [1], [1, 2, 3], [1, 2, 3, 4, 5, 1, 2], [1, 2, 3, 4, 2, 3]])
def test_nothing_is_guessed_where_nothing_is_repeated(text: list[int]) -> None:
    assert NgramProposer().propose(text, 5) == []


def test_a_long_end_is_found_behind_many_short_ones() -> None:
    """Its last 3 tokens stand at 200 later places, its last 8 at none of them."""
    far = [50, 51, 52, 53, 54, 1, 2, 3, 60, 61]
    text = far + list(itertools.chain.from_iterable([9, 1, 2, 3, 70] for _ in range(200))) + far[:8]
    assert NgramProposer().propose(text, 2) == [60, 61]


def test_equal_hashes_of_other_runs_are_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GramIndex, "ends", lambda *_: [4, 5, 6])
    assert NgramProposer().propose([1, 2, 3, 4, 5, 6, 7, 8, 9], 2) == []


@pytest.mark.parametrize("seed", range(4))
def test_an_index_that_grows_by_pieces_knows_what_one_of_the_whole_does(seed: int) -> None:
    rng = random.Random(seed)
    text = np.array([rng.randrange(4) for _ in range(3000)], np.int32)
    index, known = GramIndex(3), 0
    while known < len(text):
        known = min(len(text), known + rng.choice((1, 2, 30, 200)))
        index.extend(text.tolist(), text, known)
        run = [rng.randrange(4) for _ in range(3)]
        ends = [end for end in range(known, 2, -1) if text[end - 3 : end].tolist() == run]
        assert index.ends(run, 10) == ends[:10]
