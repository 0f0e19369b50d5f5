"""Prompts: beginning-of-text rules, special tokens, and the context's edge."""

import pytest
from caravan.api.prompt.tokenize import checked_ids, tokenized
from caravan.errors import ContextLengthError, InvalidRequestError
from caravan.models.loaded_model import LoadedModel

from tests.fakes_web import BOS_ID, SPECIALS, FakeVocab, ScriptedEngine, loaded_model


@pytest.fixture
def model() -> LoadedModel:
    return loaded_model(ScriptedEngine(context_size=32), vocab=FakeVocab(with_bos=True), bos_text="<s>")


def test_bos_is_added_once(model: LoadedModel) -> None:
    assert tokenized(model, "a", param="prompt") == (BOS_ID, ord("a"))
    assert tokenized(model, "<s>a", param="prompt") == (BOS_ID, ord("a"))
    assert tokenized(model, "a<s>", param="prompt") == (BOS_ID, ord("a"), BOS_ID)


def test_no_bos_for_a_vocabulary_without_one() -> None:
    assert tokenized(loaded_model(), "a", param="prompt") == (ord("a"),)


def test_an_empty_prompt_is_bos_or_refused(model: LoadedModel) -> None:
    assert tokenized(model, "", param="prompt") == (BOS_ID,)
    with pytest.raises(InvalidRequestError) as caught:
        tokenized(loaded_model(), "", param="prompt[2]")
    assert caught.value.param == "prompt[2]"


def test_a_vocabulary_with_bos_that_does_not_add_it_still_begins_an_empty_prompt_with_it() -> None:
    class Reluctant(FakeVocab):
        def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
            del add_special
            return super().tokenize(text, add_special=False, parse_special=parse_special)

    model = loaded_model(vocab=Reluctant(with_bos=True))
    assert tokenized(model, "", param="prompt") == (BOS_ID,)
    assert tokenized(model, "a", param="prompt") == (ord("a"),)


def test_special_tokens_are_recognised(model: LoadedModel) -> None:
    assert tokenized(model, "<|im_start|>", param="prompt")[1] == SPECIALS["<|im_start|>"]


@pytest.mark.parametrize(("length", "fits"), [(30, True), (31, False), (32, False), (10_000, False)])
def test_the_contexts_edge(model: LoadedModel, length: int, fits: bool) -> None:
    """With BOS there are length + 1 tokens, and one more must fit for an answer."""
    if fits:
        assert len(tokenized(model, "x" * length, param="messages")) == length + 1
        assert len(checked_ids(model, [1] * (length + 1), param="prompt")) == length + 1
        return
    with pytest.raises(ContextLengthError, match="32 tokens") as caught:
        tokenized(model, "x" * length, param="messages")
    assert caught.value.param == "messages"
    with pytest.raises(ContextLengthError):
        checked_ids(model, [1] * (length + 1), param="prompt")


@pytest.mark.parametrize(("longest_token", "excess"), [(1, 16), (64, 2)])
def test_the_early_refusals_never_refuse_what_fits(longest_token: int, excess: int) -> None:
    """A vocabulary of long tokens and one of single bytes, each at its edge."""

    class Counting(FakeVocab):
        """One token for each `longest_token` bytes; `seen` is how much it was given to read."""

        seen = 0

        def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
            del add_special, parse_special
            self.seen += len(text)
            return [0] * -(-len(text) // self.longest_token)

    size = 100_000
    vocab = Counting()
    vocab.longest_token = longest_token
    model = loaded_model(ScriptedEngine(context_size=size), vocab=vocab)
    assert len(tokenized(model, "x" * longest_token * (size - 1), param="prompt")) == size - 1
    with pytest.raises(ContextLengthError, match="100000 tokens"):
        tokenized(model, "x" * longest_token * size, param="prompt")

    vocab.seen = 0
    with pytest.raises(ContextLengthError):
        tokenized(model, "x" * longest_token * excess * size, param="prompt")
    assert vocab.seen < 6 * size, "the work follows the context, not the text"


def test_what_the_tokenizer_refuses_is_a_400() -> None:
    class Refusing(FakeVocab):
        def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
            del text, add_special, parse_special
            raise ValueError("it is odd")

    with pytest.raises(InvalidRequestError, match=r"^'prompt\[3\]' cannot be tokenized: it is odd.$"):
        tokenized(loaded_model(vocab=Refusing()), "x", param="prompt[3]")


@pytest.mark.parametrize("token_id", [259, 2**31 - 1])
def test_ids_outside_the_vocabulary_are_named(model: LoadedModel, token_id: int) -> None:
    with pytest.raises(InvalidRequestError, match="from 0 to 258") as caught:
        checked_ids(model, [0, 258, token_id], param="prompt[1]")
    assert caught.value.param == "prompt[1][2]"
