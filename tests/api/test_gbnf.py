"""The `grammar` field, and the fields that take either notation."""

import asyncio
from typing import Any

import pytest
from caravan.api.context import RequestContext
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.structured.request import Kind, wanted
from caravan.errors import InvalidRequestError
from caravan_schemas.structured import ConstraintFields

from tests.fakes_web import FakeVocab


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ('root ::= "a"', Kind.GBNF),
        ('# start: "x"\n\n  root ::= "a"', Kind.GBNF),
        ("a-1 ::= b\r\nroot::=a-1", Kind.GBNF),
        ('start: "a"', Kind.LARK),
        ('start: "root ::= x"', Kind.LARK),
        ('start: A // root ::= "a"\nA: "b"', Kind.LARK),
        ("nonsense", Kind.LARK),
    ],
)
@pytest.mark.parametrize("name", ["guided_grammar", "structured_outputs"])
def test_the_notation_is_told_from_the_text(name: str, source: str, kind: Kind) -> None:
    value = source if name == "guided_grammar" else {"grammar": source}
    request = wanted(ConstraintFields.model_validate({name: value}))
    assert request is not None
    assert request.kind is kind


def test_an_empty_grammar_is_none() -> None:
    assert wanted(ConstraintFields(grammar="")) is None


@pytest.mark.parametrize("other", [{"guided_regex": "a"}, {"structured_outputs": {"json_object": True}}])
def test_it_is_one_constraint_of_a_request(other: dict[str, Any]) -> None:
    fields = ConstraintFields.model_validate({"grammar": 'root ::= "a"', **other})
    with pytest.raises(InvalidRequestError, match="one constraint"):
        wanted(fields)


def test_one_grammar_is_compiled_for_each_vocabulary() -> None:
    async def run() -> None:
        compiler = ConstraintCompiler()
        fields = ConstraintFields(grammar='root ::= "a"')
        one, other = FakeVocab(), FakeVocab()
        made = [await compiler.compile(fields, RequestContext(), names) for names in (one, one, other)]
        verdicts = [compiled and compiled.check for compiled in made]
        assert verdicts[0] is verdicts[1]
        assert verdicts[0] is not verdicts[2]

    asyncio.run(run())
