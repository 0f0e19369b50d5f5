"""A draft model that reads along, over a fake context: any error in its cells changes what it guesses."""

import random

import pytest
from caravan.engine.drafts.draft_model import DraftModel, Reader, Want
from caravan.engine.drafts.model_proposer import ModelProposer
from caravan.engine.kv.radix_tree import CacheScope

from tests.fakes import END_OF_GENERATION, FakeContext

SCOPE = CacheScope()


def _model(context: FakeContext, batch_size: int = 64) -> DraftModel:
    return DraftModel(context, batch_size, frozenset({END_OF_GENERATION}), step_seconds=1.0)


def _reference(token_ids: list[int], most: int) -> list[int]:
    """The likeliest tokens, one by one, each from the whole text."""
    context, drafted = FakeContext(), list[int]()
    while len(drafted) < most:
        token_id = int(context._row([*token_ids, *drafted]).argmax())
        if token_id == END_OF_GENERATION:
            break
        drafted.append(token_id)
    return drafted


def _text(rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(256) for _ in range(length)]


def test_it_drafts_what_it_would_write() -> None:
    text = _text(random.Random(0), 40)
    (found,) = _model(FakeContext()).propose_all([Want(Reader(SCOPE), text, 6)])
    assert found == _reference(text, 6)


@pytest.mark.parametrize("seed", range(6))
def test_guesses_follow_texts_wherever_they_go(seed: int) -> None:
    """Several grow at once, by what was drafted or by other tokens, are forked, and lose their cells to each
    other.
    """
    rng = random.Random(seed)
    context = FakeContext(num_cells=rng.choice((300, 1200)), max_sequences=rng.choice((2, 3, 8)))
    model = _model(context)
    texts = {Reader(SCOPE): _text(rng, rng.randrange(1, 60)) for _ in range(4)}
    num_found = 0
    for _ in range(80):
        asked = [(reader, rng.randrange(6)) for reader in texts if rng.random() < 0.7]
        wants = [Want(reader, texts[reader], most) for reader, most in asked]
        for want, found in zip(wants, model.propose_all(wants), strict=True):
            num_found += bool(found)
            assert found in ([], _reference(want.token_ids, want.most))
            text = texts[want.reader]
            text += found[: rng.randrange(len(found) + 1)] + _text(rng, 1)
        assert context.num_cells_used <= context.num_cells
        if rng.random() < 0.1:
            texts.pop(rng.choice(list(texts)))
            texts[Reader(SCOPE)] = list(rng.choice(list(texts.values()))) + _text(rng, 3)
    assert num_found > 20


def test_several_texts_are_drafted_for_in_one_batch() -> None:
    context, rng = FakeContext(), random.Random(1)
    model = _model(context)
    readers = {Reader(SCOPE): _text(rng, 5) for _ in range(4)}
    model.propose_all([Want(reader, text, 3) for reader, text in readers.items()])
    assert context.most_rows == 4


def test_a_long_text_is_read_a_piece_a_step() -> None:
    text, context = _text(random.Random(2), 300), FakeContext()
    model, reader = _model(context, batch_size=64), Reader(SCOPE)
    for num_decoded in (64, 128, 192, 256):
        assert model.propose_all([Want(reader, text, 2)]) == [[]]
        assert context.num_decoded == num_decoded
    assert model.propose_all([Want(reader, text, 2)]) == [_reference(text, 2)]


def test_what_is_read_once_is_not_read_again() -> None:
    text, context = _text(random.Random(3), 50), FakeContext()
    model, reader = _model(context), Reader(SCOPE)
    (found,) = model.propose_all([Want(reader, text, 4)])
    before = context.num_decoded
    text += [*found[:2], (found[2] + 1) % 256]
    model.propose_all([Want(reader, text, 1)])
    assert context.num_decoded - before == 1


def test_a_choice_of_the_same_prompt_reads_its_own_end_alone() -> None:
    prompt, context = _text(random.Random(4), 50), FakeContext()
    model = _model(context)
    model.propose_all([Want(Reader(SCOPE), prompt, 1)])
    before = context.num_decoded
    model.propose_all([Want(Reader(SCOPE), [*prompt, 7], 1)])
    assert context.num_decoded - before == 1


def test_prefixes_are_shared_in_one_scope_alone() -> None:
    """How long a draft takes tells nothing of what others have asked."""
    prompt, context = _text(random.Random(5), 50), FakeContext()
    model = _model(context)
    model.propose_all([Want(Reader(CacheScope("key a")), prompt, 1)])
    before = context.num_decoded
    model.propose_all([Want(Reader(CacheScope("key b")), prompt, 1)])
    assert context.num_decoded - before == len(prompt)


def test_a_decode_that_fails_costs_a_draft_and_no_more() -> None:
    text, context = _text(random.Random(6), 20), FakeContext()
    model, reader = _model(context), Reader(SCOPE)
    context.fail_next = True
    assert model.propose_all([Want(reader, text, 3)]) == [[]]
    assert model.propose_all([Want(reader, text, 3)]) == [_reference(text, 3)]


def test_a_text_that_fits_nowhere_has_no_draft() -> None:
    context = FakeContext(num_cells=30)
    model = _model(context)
    assert model.propose_all([Want(Reader(SCOPE), _text(random.Random(7), 40), 3)]) == [[]]
    text = _text(random.Random(8), 20)
    assert model.propose_all([Want(Reader(SCOPE), text, 3)]) == [_reference(text, 3)]


def test_an_end_is_not_drafted() -> None:
    context = FakeContext(end_weight=100.0)
    rng, model = random.Random(9), _model(context)
    for text in (_text(rng, 10) for _ in range(20)):
        (found,) = model.propose_all([Want(Reader(SCOPE), text, 8)])
        assert END_OF_GENERATION not in found


def test_what_was_asked_for_several_is_not_asked_again() -> None:
    text, context = _text(random.Random(10), 20), FakeContext()
    model = _model(context)
    proposer = ModelProposer(model, SCOPE)
    want = proposer.want(text, 4)
    (found,) = model.propose_all([want])
    proposer.foresee(len(text), found)
    before = context.num_decoded
    assert proposer.propose(text, 3) == found[:3]
    assert context.num_decoded == before
