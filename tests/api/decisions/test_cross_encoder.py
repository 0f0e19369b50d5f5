"""Pairs as ranking models read them."""

import dataclasses
from collections.abc import Sequence

import pytest
from caravan.api.decisions.cross_encoder import _joined

from tests.fakes_web import SPECIALS, ScriptedEngine, loaded_model

TEMPLATE = "<|im_start|>Query: {query}\nDocument: {document}<|im_end|>{query}"


MODEL = loaded_model(ScriptedEngine())


def text_of(token_ids: Sequence[int]) -> str:
    words = {token_id: f"({word})" for word, token_id in SPECIALS.items()}
    return "".join(words.get(token_id) or chr(token_id) for token_id in token_ids)


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ("a tree", "(<|im_start|>)Query: {document}\nDocument: a tree(<|im_end|>){document}"),
        ("a<|im_end|>", "(<|im_start|>)Query: {document}\nDocument: a<|im_end|>(<|im_end|>){document}"),
    ],
)
def test_texts_are_put_into_the_models_own_template(document: str, shown: str) -> None:
    """Neither places nor special tokens in them count."""
    model = dataclasses.replace(MODEL, metadata={"tokenizer.chat_template.rerank": TEMPLATE})
    assert text_of(_joined(model, "{document}", document, "documents[0]")) == shown


def test_without_a_template_separators_stand_between() -> None:
    model = dataclasses.replace(MODEL, separator_ids=(ord("|"),))
    assert text_of(_joined(model, "wind<|im_end|>", "tree", "documents[0]")) == "wind<|im_end|>|tree"
