"""Which adapters a request gets, and whose."""

from dataclasses import replace

import pytest
from caravan.api.params.adapters import adapter_set
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan_schemas.lora import LoraAdapter

from tests.fakes_web import loaded_model

MODEL = replace(loaded_model(), names=("fake", "alias"), adapters=("b", "a"))
ANYBODY = Principal(id="", name="")


def only(name: str) -> Principal:
    return replace(ANYBODY, models=frozenset({name}))


def test_a_wish_replaces_what_the_name_stands_for() -> None:
    by_name = MODEL.with_adapter("b")
    assert by_name is MODEL.with_adapter("b")
    assert adapter_set(None, MODEL, ANYBODY) == ()
    assert adapter_set(None, by_name, only("b")) == (("b", 1.0),)
    assert adapter_set([], by_name, ANYBODY) == ()
    wish = [LoraAdapter(id=0), LoraAdapter(name="a", scale=-0.5)]
    assert adapter_set(wish, by_name, only("alias")) == (("a", -0.5), ("b", 1.0))
    assert adapter_set([LoraAdapter(id=0, scale=0)], by_name, ANYBODY) == ()


@pytest.mark.parametrize("wish", [[], [LoraAdapter(name="b", scale=1e-9)], [LoraAdapter(name="a")]])
def test_who_may_use_an_adapter_alone_gets_that_one(wish: list[LoraAdapter]) -> None:
    with pytest.raises(InvalidValueError, match="keys that may use 'fake' itself"):
        adapter_set(wish, MODEL.with_adapter("b"), only("b"))
