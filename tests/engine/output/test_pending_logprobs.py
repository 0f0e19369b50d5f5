"""Log probabilities go out with the text of their tokens: none lost, none twice, none early."""

import random

import msgspec
from caravan.engine.outputs import FinishReason, TokenLogprob
from caravan.engine.params import GenerationRequest, SamplingParams

from tests.engine.harness import Harness, request
from tests.fakes import END_OF_GENERATION, FakeContext


def harness_texts(
    *, temperature: float = 0.0, max_tokens: int = 12, **params: object
) -> tuple[str, list[tuple[str, tuple[TokenLogprob, ...]]], FinishReason]:
    """The text, what each output brought, and the finish reason of one request."""
    harness = Harness(FakeContext(end_weight=0.0))
    settings = {"temperature": temperature, "max_tokens": max_tokens, "num_logprobs": 2, **params}
    wanted = GenerationRequest(id="r", token_ids=(1, 2, 3), params=msgspec.convert(settings, SamplingParams))
    text = harness.run([wanted])["r", 0]
    pieces = [(o.text, o.logprobs) for o in harness.outputs]
    reason = harness.outputs[-1].finish_reason
    assert reason is not None
    return text, pieces, reason


def letter(entry: TokenLogprob) -> str:
    return chr(97 + entry.token_id % 26)


def test_each_piece_of_text_brings_the_entries_of_its_own_tokens() -> None:
    text, pieces, _ = harness_texts(max_tokens=12)
    assert len(text) == 12
    for piece, entries in pieces:
        assert "".join(map(letter, entries)) == piece
    offsets = [entry.offset for _, entries in pieces for entry in entries]
    assert offsets == list(range(12))


def test_held_text_holds_its_entries_and_a_stop_string_drops_them() -> None:
    whole, _, _ = harness_texts(max_tokens=12)
    text, pieces, reason = harness_texts(max_tokens=12, stop=(whole[4:7],))
    assert reason is FinishReason.STOP
    assert text == whole[:4]
    assert "".join(letter(entry) for _, entries in pieces for entry in entries) == text
    for piece, entries in pieces:
        assert "".join(map(letter, entries)) == piece
    # The beginning of a stop string is held, and so are its entries, until it turns out to be none.
    text, pieces, _ = harness_texts(max_tokens=12, stop=(whole[4:7] + "?",))
    assert text == whole
    assert all("".join(map(letter, entries)) == piece for piece, entries in pieces)
    assert any(len(entries) > 1 for _, entries in pieces)


def test_the_token_that_ends_the_text_is_marked_and_last() -> None:
    text, pieces, reason = harness_texts(
        temperature=1.0, seed=1, logit_bias=[(END_OF_GENERATION, 4.0)], max_tokens=500
    )
    assert reason is FinishReason.STOP
    entries = [entry for _, entries in pieces for entry in entries]
    assert "".join(map(letter, entries[:-1])) == text
    assert entries[-1].token_id == END_OF_GENERATION
    assert [entry.is_end for entry in entries] == [False] * len(text) + [True]


def test_entries_are_the_same_when_sequences_are_preempted_and_batched() -> None:
    rng = random.Random(5)
    requests = [
        request(f"r{i}", [rng.randrange(256) for _ in range(30)], num_logprobs=3, n=2, max_tokens=25)
        for i in range(6)
    ]

    def entries(harness: Harness) -> dict[tuple[str, int], list[TokenLogprob]]:
        harness.run(requests)
        found: dict[tuple[str, int], list[TokenLogprob]] = {}
        for output in harness.outputs:
            found.setdefault((output.request_id, output.index), []).extend(output.logprobs)
        return found

    narrow = Harness(FakeContext(num_cells=150))
    wide = entries(Harness())
    assert entries(narrow) == wide
    assert narrow.engine.stats().num_preemptions > 0
    assert all(wide.values())


def test_nobody_pays_who_does_not_ask() -> None:
    harness = Harness()
    harness.run([request("r", [1, 2, 3])])
    assert all(output.logprobs == () for output in harness.outputs)
