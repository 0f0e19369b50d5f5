"""The cursor in a predicted text."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from caravan.engine.drafts.prediction import PredictedText, PredictionProposer

from tests.engine.drafts.rewriting import Gain, Words, replay


def _file() -> str:
    """Some 300 lines of a program."""
    return (Path(__file__).parent / "data/program.txt").read_text(encoding="utf-8")


def _changed(text: str) -> str:
    """Three changes: a name, lines that go, lines that come."""
    changed = text.replace("def preempt_one(self)", "def send_one_back(self, reason: str)", 1)
    begin = changed.index("    def end_thoughts")
    changed = changed[:begin] + changed[changed.index("    def schedule(self)") :]
    new = "        if budget < 0:\n            raise ValueError('the budget is spent')\n"
    place = changed.index("        self._charge(chunks)\n")
    changed = changed[:place] + new + changed[place:]
    assert changed != text
    return changed


def _proposer(
    predicted_ids: Iterable[int], num_prompt_tokens: int, token_bytes: Callable[[int], bytes]
) -> PredictionProposer:
    return PredictionProposer(PredictedText(predicted_ids, token_bytes), num_prompt_tokens, token_bytes)


def _gain(predicted: str, answer: str, most: int = 16) -> Gain:
    words = Words()
    prompt = words.read("Rewrite this file.\n")
    predicted_ids, answer_ids = words.read(predicted), words.read(answer)
    table = [words.token_bytes(token_id) for token_id in range(max(predicted_ids + answer_ids + prompt) + 1)]
    proposer = _proposer(predicted_ids, len(prompt), table.__getitem__)
    return replay(proposer, prompt, answer_ids, most)


def test_a_text_that_comes_true_is_drafted_whole() -> None:
    gain = _gain(_file(), _file(), most=15)
    assert gain.num_drafted == gain.num_accepted
    assert gain.num_steps == -(-gain.num_tokens // 16)


def test_a_file_with_three_changes_costs_a_few_steps_more() -> None:
    """Of the tokens that both texts have; each step draws one token besides, drafted or not."""
    gain = _gain(_file(), _changed(_file()), most=10_000)
    assert gain.share >= 0.95


@pytest.mark.parametrize("seed", range(8))
def test_the_place_is_found_again_after_any_edit(seed: int) -> None:
    """Lines are taken out, put in, written anew and moved: all but a few tokens after each are drafted."""
    rng = random.Random(seed)
    lines = _file().splitlines(keepends=True)
    edited = list(lines)
    for _ in range(4):
        at, count = rng.randrange(len(edited)), rng.randrange(1, 5)
        match rng.randrange(3):
            case 0:
                del edited[at : at + count]
            case 1:
                edited[at:at] = [f"    # what is new here is {rng.random()}\n" for _ in range(count)]
            case _:
                edited[at : at + count] = [line.upper() for line in edited[at : at + count]]
    assert _gain("".join(lines), "".join(edited), most=10_000).share >= 0.85


def test_lines_in_another_order_are_found_backwards() -> None:
    lines = _file().splitlines(keepends=True)
    gain = _gain("".join(lines), "".join(lines[150:] + lines[:150]), most=10_000)
    assert gain.share >= 0.97


def test_words_before_the_text_only_delay_it() -> None:
    assert _gain(_file(), "Sure! Here is the whole file:\n```python\n" + _file(), most=10_000).share >= 0.95


def test_a_text_cut_into_other_tokens_is_followed_by_its_bytes() -> None:
    table = [b"for", b"ward", b"forward", b" and ", b"back", b"b", b"ack"]
    proposer = _proposer([2, 3, 4], 1, table.__getitem__)
    assert proposer.propose([0], 9) == [2, 3, 4]
    assert proposer.propose([0, 0], 9) == []
    assert proposer.propose([0, 0, 1], 9) == [3, 4]
    assert proposer.propose([0, 0, 1, 3, 5], 9) == []
    assert proposer.propose([0, 0, 1, 3, 5, 6], 9) == []


def test_control_tokens_are_no_part_of_either_text() -> None:
    table = [b"", b"one ", b"two ", b"three"]
    proposer = _proposer([0, 1, 0, 2, 3], 0, table.__getitem__)
    assert proposer.propose([0, 1, 0], 9) == [2, 3]


def test_another_text_is_given_up_at_once() -> None:
    proposer = _proposer(b"some text that was to be expected", 0, lambda token_id: bytes([token_id]))
    text = list(b"nothing of the kind is ever found here 0123456789")
    assert not any(proposer.propose(text[:count], 9) for count in range(1, len(text)))


@pytest.mark.parametrize("seed", range(4))
def test_a_draft_is_a_piece_of_the_prediction_after_what_was_written(seed: int) -> None:
    rng = random.Random(seed)
    predicted = [rng.randrange(97, 100) for _ in range(300)]
    proposer = _proposer(predicted, 0, lambda token_id: bytes([token_id]))
    text: list[int] = []
    for _ in range(300):
        start = rng.randrange(len(predicted))
        text += [*predicted[start : start + rng.randrange(1, 20)], rng.randrange(97, 100)]
        found = bytes(proposer.propose(text, 5))
        assert not found or bytes(text[-6:]) + found in bytes(predicted) or text == predicted[: len(text)]
