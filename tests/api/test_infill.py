"""Prompts for filling in the middle."""

from dataclasses import replace

import pytest
from caravan.api.completions import refuse_echo
from caravan.api.prompt.infill import infilled
from caravan.errors import ContextLengthError, InvalidRequestError, UnsupportedParameterError
from caravan_schemas.completions import CompletionRequest

from tests.fakes_web import BOS_ID, FakeVocab, loaded_model

FILL = (301, 302, 303)


def filling_vocab() -> FakeVocab:
    vocab = FakeVocab(with_bos=True)
    vocab.fill_ids = FILL
    return vocab


def test_prefix_suffix_middle() -> None:
    model = loaded_model(vocab=filling_vocab())
    assert infilled(model, "ab", "c", param="prompt") == (301, 97, 98, 302, 99, 303)
    assert infilled(model, [97], "c", param="prompt") == (301, 97, 302, 99, 303)
    assert infilled(model, "", "c", param="prompt") == (301, 302, 99, 303)


def test_a_model_that_wants_a_bos_gets_it_first() -> None:
    model = replace(loaded_model(vocab=filling_vocab()), bos_text="<s>")
    assert infilled(model, "a", "c", param="prompt") == (BOS_ID, 301, 97, 302, 99, 303)


def test_names_of_special_tokens_are_text() -> None:
    model = loaded_model(vocab=filling_vocab())
    assert infilled(model, "<s>", "", param="prompt") == (301, *b"<s>", 302, 303)


def test_refusals() -> None:
    with pytest.raises(UnsupportedParameterError) as caught:
        infilled(loaded_model(), "a", "b", param="prompt")
    assert caught.value.param == "suffix"
    with pytest.raises(ContextLengthError):
        infilled(loaded_model(vocab=filling_vocab()), "a" * 300, "b" * 300, param="prompt")
    body = {"model": "fake", "prompt": "a"}
    for fields in ({"suffix": "b"}, {"truncate_prompt_tokens": 2}):
        with pytest.raises(InvalidRequestError) as refused:
            refuse_echo(CompletionRequest.model_validate({**body, **fields, "echo": True}))
        assert refused.value.param == "echo"
        refuse_echo(CompletionRequest.model_validate({**body, **fields, "echo": False}))
    refuse_echo(CompletionRequest.model_validate({**body, "suffix": "", "echo": True}))
