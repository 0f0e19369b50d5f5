"""Echoed prompts: their text, and where in it each token begins."""

import math

import pytest
from caravan.api.output.echo import Echo, ReadPrompt
from caravan.engine.outputs import TokenLogprob, TokenOutput, packed_top

from tests.fakes_web import BOS_ID, SPECIALS, FakeVocab

VOCAB = FakeVocab(with_bos=True)


class SpacedVocab(FakeVocab):
    """One of those tokenizers that put a space before a text."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return super().tokenize(f" {text}", add_special=add_special, parse_special=parse_special)


def first(prompt: ReadPrompt, text: str = "", vocab: FakeVocab = VOCAB) -> TokenOutput:
    """The first output of a choice whose text is said to begin with one token."""
    top = packed_top((1, 2), (-0.5, -0.75))
    known = tuple(TokenLogprob(token_id, -1.0, top) for token_id in prompt.token_ids[1:])
    drawn = (TokenLogprob(1, -2.0),) if text else ()
    output = TokenOutput(request_id="r", text=text, logprobs=drawn, prompt_logprobs=known)
    return Echo(vocab, [prompt], 1, 1).applied(output)


def read(text: str, vocab: FakeVocab = VOCAB) -> ReadPrompt:
    is_bare = not text.startswith("<s>")
    return ReadPrompt(
        token_ids=tuple(vocab.tokenize(text, add_special=is_bare, parse_special=True)), text=text
    )


def test_the_prompt_comes_first_with_its_tokens_of_which_the_first_is_unknown() -> None:
    output = first(read("aé"), "xyz")
    assert output.text == "aéxyz"
    assert [entry.token_id for entry in output.logprobs] == [BOS_ID, 97, 0xC3, 0xA9, 1]
    assert [entry.offset for entry in output.logprobs] == [0, 0, 1, 1, 2]
    assert math.isnan(output.logprobs[0].logprob)
    assert [entry.logprob for entry in output.logprobs[1:]] == [-1, -1, -1, -2]
    assert all(entry.top_ids == (1,) for entry in output.logprobs[1:4])


@pytest.mark.parametrize(
    ("prompt", "text", "offsets"),
    [
        (read("<s>a"), "<s>a", [0, 3]),
        (read("a<|im_end|>b"), "a<|im_end|>b", [0, 0, 1, 11]),
        (ReadPrompt(token_ids=(BOS_ID, 97, SPECIALS["<|im_end|>"])), "<s>a<|im_end|>", [0, 3, 4]),
        (ReadPrompt(token_ids=(97, 0xC3)), "a", [0, 1]),
        (read("ab", SpacedVocab(with_bos=True)), "ab", [0, 0, 0, 1]),
    ],
)
def test_control_tokens_stand_where_they_are_written(
    prompt: ReadPrompt, text: str, offsets: list[int]
) -> None:
    output = first(prompt)
    assert output.text == text
    assert [entry.offset for entry in output.logprobs] == offsets


def test_each_choice_gets_its_own_prompt_once() -> None:
    echo = Echo(VOCAB, [read("one"), read("two")], 2, None)
    texts = [
        echo.applied(TokenOutput(request_id="r", index=index, text="!")).text for index in (0, 1, 2, 3, 0, 3)
    ]
    assert texts == ["one!", "one!", "two!", "two!", "!", "!"]


def test_later_tokens_stand_behind_the_prompt() -> None:
    echo = Echo(VOCAB, [read("one")], 1, 0)
    echo.applied(TokenOutput(request_id="r"))
    output = echo.applied(TokenOutput(request_id="r", text="x", logprobs=(TokenLogprob(1, -1.0, offset=4),)))
    assert [entry.offset for entry in output.logprobs] == [7]


def test_a_prompt_that_was_cut_short_has_unknown_tokens() -> None:
    output = Echo(VOCAB, [read("ab")], 1, 0).applied(TokenOutput(request_id="r"))
    assert output.text == "ab"
    assert all(math.isnan(entry.logprob) for entry in output.logprobs)
    assert len(output.logprobs) == 3
