"""Constraints at work in the engine: masks against a scan of the vocabulary, and the engine's promises."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from caravan.engine.constraints import token_mask
from caravan.engine.constraints.grammar_vocab import GrammarVocab
from caravan.engine.constraints.guide import Guide
from caravan.engine.constraints.token_mask import ConstraintError, MaskFactory, TokenMask
from caravan.engine.outputs import FinishReason, TokenLogprob
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
from caravan.grammars.token_table import TokenTable
from caravan.llama.model import Model
from caravan_schemas.sampling import SamplingFields

from tests.conftest import TinyModels
from tests.engine.guided import MarkerVocab, ids
from tests.engine.harness import Harness
from tests.engine.real_harness import RealHarness
from tests.fakes import FakeContext
from tests.tiny_vocab import byte_table
from tests.waiting import PATIENCE

GRAMMARS = GrammarCompiler()
DIGITS = GRAMMARS.from_regex("[0-9]{2,4}")
PERSON = GRAMMARS.from_schema(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "maximum": 150},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
# FakeVocab's tokens are single small letters.
LETTERS = GRAMMARS.from_regex("(ab|cd|efg?)+z")


@pytest.fixture
def model(tiny_models: TinyModels) -> Iterator[Model]:
    model = Model(tiny_models["qwen2"], vocab_only=True)
    yield model
    model.close()


def allowed(mask: TokenMask, vocab_size: int) -> set[int]:
    row = np.zeros(vocab_size, np.float32)
    mask.forbid(row)
    return set(np.flatnonzero(np.isfinite(row)).tolist())


def test_a_mask_is_what_a_scan_of_the_vocabulary_finds(model: Model) -> None:
    vocab = model.vocab
    factory = MaskFactory(vocab.size, vocab)
    text = b'{"name": "the \\"wind\\" in \xc3\xa4\xe2\x98\x83", "age": 15}'
    for end in range(len(text)):
        (mask,) = factory.make(PERSON, 1)
        for byte in text[:end]:
            assert mask.admits(byte_table(vocab).index(bytes([byte])))
        expected = set()
        for token_id in range(vocab.size):
            (probe,) = factory.make(PERSON, 1)
            for byte in text[:end]:
                assert probe.admits(byte_table(vocab).index(bytes([byte])))
            if byte_table(vocab)[token_id] and probe.admits(token_id):
                expected.add(token_id)
        assert allowed(mask, vocab.size) == expected, text[:end]
        assert text[end : end + 1] in {byte_table(vocab)[token_id] for token_id in expected}


def test_ends_come_only_where_the_constraint_is_satisfied(model: Model) -> None:
    vocab = model.vocab
    (mask,) = MaskFactory(vocab.size, vocab).make(DIGITS, 1)
    ends = vocab.end_of_generation_ids
    assert len(ends) == 2
    for count, digit in enumerate(b"1234"):
        assert (ends <= allowed(mask, vocab.size)) is (count >= 2)
        assert not mask.is_complete
        assert mask.admits(byte_table(vocab).index(bytes([digit])))
    assert mask.is_complete


def test_what_may_not_come_changes_nothing(model: Model) -> None:
    vocab = model.vocab
    (mask,) = MaskFactory(vocab.size, vocab).make(DIGITS, 1)
    assert not mask.admits(byte_table(vocab).index(b"x"))
    assert not mask.admits_text(b"12x")
    assert mask.admits_text(b"12")
    assert mask.admits(byte_table(vocab).index(b"3"))
    assert not mask.is_complete


def test_the_only_token_that_may_come_is_known_once_the_mask_is(model: Model) -> None:
    vocab = model.vocab
    dash = byte_table(vocab).index(b"-")
    (mask,) = MaskFactory(vocab.size, vocab).make(GRAMMARS.from_regex("[0-9]-[0-9]"), 1)
    mask.prepare()
    assert mask.forced() == []
    assert mask.admits(byte_table(vocab).index(b"1"))
    assert mask.forced() == []
    assert allowed(mask, vocab.size) == {dash}
    preparing: Future[None] = Future()
    mask.wait_for(preparing)

    def prepare() -> None:
        mask.prepare()
        preparing.set_result(None)

    late = threading.Timer(0.05, prepare)
    late.start()
    assert mask.forced() == [dash]
    late.join()
    assert mask.admits(dash)
    assert mask.forced() == []


def test_a_token_that_is_not_drawn_has_the_same_log_probability(model: Model) -> None:
    vocab = model.vocab
    params = SamplingParams(temperature=0, presence_penalty=1.5, num_logprobs=3)
    factory = MaskFactory(vocab.size, vocab)
    constraint = GRAMMARS.from_regex("([0-9]-[xy]\n){3}")

    def entries(*, prepares: bool) -> list[TokenLogprob | None]:
        (mask,) = factory.make(constraint, 1)
        guide = Guide(vocab, factory.space_ids, mask, constraint, None)
        sampler = Sampler(params, [1], 0, TokenSpace(vocab.size, vocab.end_of_generation_ids), guide)
        rng = np.random.default_rng(1)
        found = []
        for _ in range(12):
            if prepares:
                mask.prepare()
            sampler.sample(rng.standard_normal(vocab.size).astype(np.float32))
            found.append(sampler.last_logprob)
        return found

    assert entries(prepares=True) == entries(prepares=False)
    assert None not in entries(prepares=True)


def constrained(
    name: str, constraint: Constraint, *, n: int = 1, prompt: bytes = b"abc", **params: object
) -> GenerationRequest:
    settings = msgspec.convert({"temperature": 1.0, "seed": 1, "max_tokens": 60} | params, SamplingParams)
    return GenerationRequest(id=name, token_ids=tuple(prompt), params=settings, n=n, constraint=constraint)


def test_choices_have_a_state_each() -> None:
    harness = Harness(FakeContext(end_weight=0))
    texts = harness.run([constrained("r", LETTERS, n=8)])
    assert len(set(texts.values())) > 3
    for key, text in texts.items():
        assert text.endswith("z")
        assert harness.reasons()[key] == [FinishReason.STOP]


def test_a_constraint_that_is_satisfied_ends_the_text_without_another_token() -> None:
    harness = Harness()
    harness.run([constrained("r", GRAMMARS.from_choices(["abc"]), max_tokens=3)])
    assert harness.texts() == {("r", 0): "abc"}
    assert harness.reasons() == {("r", 0): [FinishReason.STOP]}
    assert harness.outputs[-1].num_completion_tokens == 3


@pytest.mark.parametrize("rule", [{"min_tokens": 20}, {"ignore_eos": True}])
def test_no_rule_holds_back_an_end_behind_which_nothing_can_come(rule: dict[str, Any]) -> None:
    """The fields' descriptions say so."""
    harness = Harness()
    harness.run([constrained("r", GRAMMARS.from_choices(["a", "b"]), **rule)])
    assert harness.texts()["r", 0] in ("a", "b")
    assert harness.reasons() == {("r", 0): [FinishReason.STOP]}
    for name in rule:
        assert "nothing to add ends all the same" in str(SamplingFields.model_fields[name].description)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_dead_end_ends_one_sequence(temperature: float) -> None:
    harness = Harness()
    # The fake vocabulary has no digits, though bytes in general do.
    dead = constrained("dead", GRAMMARS.from_lark("start: /[a-z]/ /[0-9]/"), temperature=temperature)
    alive = constrained("alive", LETTERS, temperature=temperature)
    harness.run([dead, alive])
    assert harness.reasons()["dead", 0] == [FinishReason.UNSATISFIABLE]
    assert harness.reasons()["alive", 0] != [FinishReason.UNSATISFIABLE]
    assert [output.error for output in harness.outputs if output.error] != []


def test_a_constraint_that_cannot_begin_is_refused() -> None:
    harness = Harness()
    harness.run([constrained("r", DIGITS, n=2)])
    errors = [output.error for output in harness.outputs]
    assert [output.finish_reason for output in harness.outputs] == [FinishReason.UNSATISFIABLE] * 2
    assert all("no token of this model" in (error or "") for error in errors)


def test_streams_run_on_while_masks_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    make = MaskFactory.make

    def slow(self: MaskFactory, constraint: Constraint, count: int) -> list[TokenMask]:
        gate.wait(PATIENCE)
        return make(self, constraint, count)

    monkeypatch.setattr(MaskFactory, "make", slow)
    harness = Harness(FakeContext(end_weight=0))
    harness.engine.submit(constrained("late", LETTERS, n=2))
    free = GenerationRequest(id="free", token_ids=(1, 2), params=SamplingParams(temperature=0, max_tokens=30))
    harness.engine.submit(free)
    while ("free", 0) not in harness.reasons():
        harness.engine.turn()
    assert harness.engine.stats().num_waiting == 2
    gate.set()
    harness.finish()
    assert harness.reasons().keys() == {("late", 0), ("late", 1), ("free", 0)}


@pytest.mark.parametrize("end", ["abort", "stop"])
def test_what_waits_for_its_masks_can_be_ended(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    gate = threading.Event()
    make = MaskFactory.make

    def slow(self: MaskFactory, constraint: Constraint, count: int) -> list[TokenMask]:
        gate.wait(PATIENCE)
        return make(self, constraint, count)

    monkeypatch.setattr(MaskFactory, "make", slow)
    harness = Harness()
    harness.engine.submit(constrained("r", LETTERS, n=2))
    harness.engine.submit(constrained("r", LETTERS))
    if end == "abort":
        harness.engine.abort("r")
        harness.engine.turn()
        gate.set()
        harness.run([constrained("r", LETTERS)])
    else:
        harness.engine.stop()
        harness.engine.run()
        gate.set()
    # The second of the name was refused, as long as the first was there.
    reasons = [output.finish_reason for output in harness.outputs if output.finish_reason is not None]
    assert reasons[:3] == [FinishReason.ERROR, FinishReason.ABORT, FinishReason.ABORT]
    assert len(reasons) == (4 if end == "abort" else 3)


def _run(
    path: Path, requests: list[GenerationRequest], **changes: int
) -> tuple[dict[tuple[str, int], str], RealHarness]:
    harness = RealHarness(path, **changes)
    try:
        return harness.run(requests), harness
    finally:
        harness.close()


EXTRAS: list[dict[str, Any]] = [{}, {"repeat_penalty": 1.3, "top_k": 0}]


@pytest.mark.usefixtures("exact_numbers")
def test_batched_and_preempted_equal_alone(tiny_models: TinyModels) -> None:
    path = tiny_models["qwen2"]
    requests = [
        constrained(
            f"r{i}",
            constraint,
            prompt=bytes([40 + i] * 20),
            temperature=temperature,
            seed=i,
            max_tokens=50,
            **extra,
        )
        for i, (constraint, temperature, extra) in enumerate(
            itertools.product(
                [PERSON, DIGITS, GRAMMARS.from_regex("(x|yz)*!")],
                [0.0, 1.0],
                EXTRAS,
            )
        )
    ]
    alone: dict[tuple[str, int], str] = {}
    for request in requests:
        alone |= _run(path, [request])[0]
    together, harness = _run(path, requests)
    assert together == alone
    squeezed, harness = _run(path, requests, num_cells=256)
    assert squeezed == alone
    assert harness.outputs


def test_a_constraint_that_has_come_to_its_limits_is_made_anew() -> None:
    """What has been compiled is shared by all that ask for the same."""
    vocab = MarkerVocab()
    factory = MaskFactory(vocab.size, vocab)
    constraint = GRAMMARS.from_schema({"type": "string", "pattern": "(.{0,90}){0,90}x"})
    (mask,) = factory.make(constraint, 1)
    quote, letter, last = ids('"yx')
    with pytest.raises(ConstraintError):
        all(mask.admits(token_id) for token_id in (quote, *[letter] * 20_000))
    (mask,) = factory.make(constraint, 1)
    assert all(mask.admits(token_id) for token_id in (quote, letter, last, quote))


def test_a_vocabulary_read_ahead_is_not_read_again(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read = []

    class Counted(GrammarVocab):
        def __init__(self, vocab_size: int, tokens: TokenTable) -> None:
            num_read.append(threading.current_thread().name)
            super().__init__(vocab_size, tokens)

    monkeypatch.setattr(token_mask, "GrammarVocab", Counted)
    factory = MaskFactory(model.vocab.size, model.vocab)
    factory.read_ahead()
    factory.wait()
    assert factory.make(DIGITS, 1)
    assert num_read == ["vocabulary"]
