"""Constraints of requests: one at most, checked to the letter, refused at the place that is to blame."""

import asyncio
import itertools
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from caravan.api.context import RequestContext
from caravan.api.structured.checker import ParsedAnswer
from caravan.api.structured.compiler import Compiled, ConstraintCompiler, answer_checker
from caravan.auth.principal import Principal
from caravan.engine.params import SamplingParams
from caravan.errors import InvalidRequestError
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
from caravan.grammars.json_schema import validator
from caravan.grammars.recognizer import accepts
from caravan.runtime import fair_queue
from caravan_schemas.structured import ConstraintFields
from pydantic import ValidationError

from tests.waiting import PATIENCE


def compiled(fields: dict[str, Any], compiler: ConstraintCompiler | None = None) -> Compiled | None:
    request = ConstraintFields.model_validate(fields)
    return asyncio.run((compiler or ConstraintCompiler()).compile(request, RequestContext()))


def refusal(fields: dict[str, Any]) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        compiled(fields)
    assert caught.value.status == 400
    return caught.value


def wanted(schema: object, *, strict: bool | None = None) -> dict[str, Any]:
    named = {"name": "x", "schema": schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def test_no_constraint_is_none() -> None:
    for fields in ({}, {"response_format": {"type": "text"}}, {"structured_outputs": {"json_object": False}}):
        assert compiled(fields) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_regex": "a", "guided_choice": ["a"]},
        {"response_format": {"type": "json_object"}, "json_schema": {}},
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        {"structured_outputs": {"json_object": True}, "guided_grammar": 'start: "a"'},
        {"regex": "a", "ebnf": 'root ::= "a"'},
        {"json_schema": {"const": 1}, "guided_json": {"const": True}},
        {"json_schema": {"const": 1}, "guided_json": '{"const": 1.0}'},
        {"guided_choice": ["a", "b"], "structured_outputs": {"choice": ["b", "a"]}},
        {**wanted({"type": "object"}), "json_schema": {}},
    ],
)
def test_two_constraints_are_one_too_many(fields: dict[str, Any]) -> None:
    assert "one constraint" in refusal(fields).message


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_regex": "a", "regex": "a", "structured_outputs": {"regex": "a"}},
        {"guided_json": '{"type": "null"}', "json_schema": {"type": "null"}, **wanted({"type": "null"})},
        {"response_format": {"type": "json_object"}, "structured_outputs": {"json_object": True}},
        {"grammar": 'root ::= "a"', "ebnf": 'root ::= "a"', "guided_grammar": 'root ::= "a"'},
        {"guided_choice": ["a"], "structured_outputs": {"choice": ["a"]}},
    ],
)
def test_the_same_constraint_may_stand_under_several_names(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        made, alone = compiled(fields), compiled({name: value})
        assert made is not None
        assert alone is not None
        assert made.constraint.grammar == alone.constraint.grammar


def test_strict_rules_hold_where_the_schema_stands_twice() -> None:
    error = refusal({**wanted({"type": "array"}, strict=True), "guided_json": {"type": "array"}})
    assert error.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("field", "known", "text"),
    [
        ("regex", "guided_regex", "[ab]+"),
        ("ebnf", "grammar", 'root ::= "a" [b-c]*'),
        ("json_schema", "guided_json", '{"type": "null"}'),
    ],
)
def test_sglangs_names(field: str, known: str, text: str) -> None:
    made, same = compiled({field: text}), compiled({known: text})
    assert made is not None
    assert same is not None
    assert (made.constraint.grammar, made.constraint.param) == (same.constraint.grammar, field)
    assert field == "json_schema" or compiled({field: ""}) is None


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"not": {"minimum": 1}}, "/not"),
        ({"not": {}}, "/"),
        (
            {"properties": {"a/b~c": {"if": {"minimum": 1}, "then": {"maximum": 9}}}},
            "/properties/a~1b~0c/if",
        ),
        ({"anyOf": [{"type": "null"}, {"contains": {}}]}, "/anyOf/1/contains"),
        (
            {"$defs": {"a": {"dependentRequired": {"a": ["b"]}}}, "items": {"$ref": "#/$defs/a"}},
            "/$defs/a/dependentRequired",
        ),
        ({"properties": {"a": 5}}, "/properties/a"),
        ({"type": "text"}, "/type"),
        ({"enum": []}, "/enum"),
        ({"minLength": -1}, "/minLength"),
        ({"minLength": True}, "/minLength"),
        ({"minimum": "1"}, "/minimum"),
        ({"multipleOf": 0}, "/multipleOf"),
        ({"required": "a"}, "/required"),
        ({"items": [5]}, "/items/0"),
        ({"$ref": "#"}, "/$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "/properties/a/$ref"),
        ({"$ref": "other.json"}, "/$ref"),
        ({"$ref": "#/title", "title": "x"}, "/$ref"),
        ({"properties": {"a": {"type": "string", "pattern": "(?=a)"}}}, "/properties/a/pattern"),
        (
            {"items": {"$ref": "#/$defs/a b"}, "$defs": {"a b": {"pattern": "a\\b", "type": "string"}}},
            "/pattern",
        ),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, "/oneOf"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "/"),
        ({"type": "integer", "minimum": 2**53 + 1}, "/minimum"),
        ({"type": "integer", "minimum": True}, "/minimum"),
        ({"type": "integer", "minimum": 2**63}, "/minimum"),
        ({"type": "integer", "maximum": -(2**70)}, "/maximum"),
        ({"enum": ["a", 2**53 + 1]}, "/enum"),
        ({"const": [{"a": 2**64}]}, "/const"),
    ],
)
def test_what_cannot_be_enforced_is_refused_where_it_stands(schema: object, pointer: str) -> None:
    error = refusal(wanted(schema))
    assert f"{pointer}: " in error.message
    assert error.param == "response_format.json_schema.schema"
    assert error.code == "invalid_constraint"


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "array"}, "/type"),
        ({"anyOf": [{"type": "object"}]}, "/type"),
        ({"type": "object", "properties": {}}, "/additionalProperties"),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, "/required"),
        (
            {
                "type": "object",
                "properties": {"a": {"type": ["object", "null"]}},
                "required": ["a"],
                "additionalProperties": False,
            },
            "/properties/a/additionalProperties",
        ),
        ({"type": "object", "additionalProperties": False, "allOf": [{}]}, "/allOf"),
    ],
)
def test_strict_schemas_keep_openais_rules(schema: object, pointer: str) -> None:
    assert f"at {pointer}: " in refusal(wanted(schema, strict=True)).message
    for lax in (False, None):
        assert compiled(wanted(schema, strict=lax)) is not None


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"guided_regex": "a["}, "line 1, column 2"),
        ({"guided_grammar": 'start: a\na: "x" b'}, "line 2, column 4"),
        ({"guided_json": '{"a"'}, "line 1 column 4"),
        ({"guided_json": "[]"}, "object"),
    ],
)
def test_the_place_is_named(fields: dict[str, Any], place: str) -> None:
    error = refusal(fields)
    assert place in error.message
    assert error.param == next(iter(fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"guided_regex": "a" * 20_000},
        {"guided_choice": []},
        {"guided_choice": ["a"] * 10_001},
        {"guided_grammar": "x" * 70_000},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
        {"response_format": {"type": "xml"}},
    ],
)
def test_sizes_and_shapes_are_bounded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConstraintFields.model_validate(fields)


def test_large_schemas_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(80):
        deep = {"items": deep}
    wide: dict[str, Any] = {"properties": {str(number): {} for number in range(6000)}}
    for schema in (deep, wide, {"enum": list(range(10_001))}, {"const": "x" * 300_000}):
        assert refusal(wanted(schema)).code == "invalid_constraint"


def test_equal_constraints_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    original = GrammarCompiler.from_schema

    def counting(self: GrammarCompiler, schema: dict[str, Any], **options: bool) -> Constraint:
        nonlocal count
        count += 1
        return original(self, schema, **options)

    monkeypatch.setattr(GrammarCompiler, "from_schema", counting)

    async def all_at_once() -> None:
        compiler = ConstraintCompiler()
        names = ("json_schema", "guided_json", "json_schema")
        requests = [ConstraintFields.model_validate({name: {"type": "null"}}) for name in names]
        made = await asyncio.gather(*(compiler.compile(one, RequestContext()) for one in requests))
        assert [one and one.constraint.param for one in made] == list(names)
        assert len({one and one.constraint.grammar for one in made}) == 1

    asyncio.run(all_at_once())
    assert count == 1


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(GrammarCompiler, "from_regex", lambda *_: gate.wait(PATIENCE))
    with pytest.raises(InvalidRequestError, match=r"takes longer than 0\.05 s"):
        compiled({"guided_regex": "a"}, ConstraintCompiler(seconds=0.05))
    gate.set()


def test_waiting_for_others_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    make = GrammarCompiler.from_regex
    gate = threading.Event()

    def slow(self: GrammarCompiler, pattern: str) -> Constraint:
        assert pattern != "slow" or gate.wait(PATIENCE)
        return make(self, pattern)

    monkeypatch.setattr(GrammarCompiler, "from_regex", slow)

    async def both() -> None:
        compiler = ConstraintCompiler(seconds=1)
        slow_one, quick_one = (
            asyncio.create_task(compiler.compile(ConstraintFields(guided_regex=pattern), RequestContext()))
            for pattern in ("slow", "quick")
        )
        with pytest.raises(InvalidRequestError):
            await slow_one
        gate.set()
        assert await quick_one is not None

    asyncio.run(both())


def test_keys_take_turns_and_what_nobody_waits_for_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, order = threading.Event(), list[str]()
    make = GrammarCompiler.from_regex
    # Everything takes one second.
    monkeypatch.setattr(fair_queue, "time", SimpleNamespace(monotonic=itertools.count().__next__))

    def noting(self: GrammarCompiler, pattern: str) -> Constraint:
        assert gate.wait(PATIENCE)
        order.append(pattern)
        return make(self, pattern)

    monkeypatch.setattr(GrammarCompiler, "from_regex", noting)

    async def asking(compiler: ConstraintCompiler, key: str, pattern: str) -> Compiled | None:
        context = RequestContext(principal=Principal(id=key))
        return await compiler.compile(ConstraintFields(guided_regex=pattern), context)

    async def main() -> None:
        compiler = ConstraintCompiler()
        flood = [asyncio.create_task(asking(compiler, "greedy", f"a{number}")) for number in range(20)]
        await asyncio.sleep(0.01)
        modest = asyncio.create_task(asking(compiler, "modest", "b"))
        # The same as what the other key waits for, but not behind all that it waits for.
        common = asyncio.create_task(asking(compiler, "modest", "a19"))
        await asyncio.sleep(0.01)
        for task in flood[10:15]:
            task.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(modest, common, *flood, return_exceptions=True)

    asyncio.run(main())
    assert order.index("b") <= 1
    assert order.index("a19") <= 4
    assert {f"a{number}" for number in range(10, 15)}.isdisjoint(order)
    assert {f"a{number}" for number in (*range(10), *range(15, 20))} <= set(order)


def test_small_constraints_do_not_wait_for_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    make = GrammarCompiler.from_regex

    def slow(self: GrammarCompiler, pattern: str) -> Constraint:
        if len(pattern) > 5000:
            assert gate.wait(PATIENCE)
        return make(self, pattern)

    monkeypatch.setattr(GrammarCompiler, "from_regex", slow)

    async def both() -> None:
        compiler = ConstraintCompiler()
        large = asyncio.ensure_future(
            compiler.compile(ConstraintFields(guided_regex="a" * 6000), RequestContext())
        )
        await asyncio.sleep(0)
        assert await compiler.compile(ConstraintFields(guided_regex="a"), RequestContext()) is not None
        assert not large.done()
        gate.set()
        assert await large is not None

    asyncio.run(both())


def test_the_verdict_finds_what_breaks_a_schema() -> None:
    made = compiled(
        {"json_schema": {"type": "object", "required": ["a"], "properties": {"a": {"minimum": 3}}}}
    )
    judge = answer_checker(made, SamplingParams())
    assert judge is not None
    assert judge.fault(ParsedAnswer('{"a": 3}')) is None
    assert "$.a" in (judge.fault(ParsedAnswer('{"a": 2}')) or "")
    assert "not JSON" in (judge.fault(ParsedAnswer('{"a": ')) or "")
    assert answer_checker(made, SamplingParams(stop=("x",))) is None


@pytest.mark.parametrize("schema", [{"format": "date"}, {"format": "date", "pattern": "^[0-9]{2}"}])
def test_dates_are_days_of_the_calendar(schema: dict[str, Any]) -> None:
    made = compiled({"json_schema": {"type": ["string", "null"], **schema}})
    assert made is not None
    assert made.check is not None
    real = ["2023-02-28", "2024-02-29", "2000-02-29", "0004-02-29", "0100-10-31", "1999-12-31"]
    others = ["2023-02-29", "2023-04-31", "0000-01-01", "1900-02-29"]
    for value, is_one in [("null", True), *((f'"{day}"', day in real) for day in (*real, *others))]:
        assert accepts(made.constraint.grammar, value) is is_one, value
        assert (made.check(value) is None) is is_one, value
    timed = compiled({"json_schema": {"type": "string", "format": "date-time"}})
    assert timed is not None
    assert accepts(timed.constraint.grammar, '"2024-02-29T23:59:59.5+01:00"')
    assert not accepts(timed.constraint.grammar, '"2023-02-29T23:59:59.5+01:00"')


def test_the_verdict_is_no_way_to_keep_a_processor_busy() -> None:
    evil = {"type": "string", "pattern": "^(a+)+$"}
    judge = answer_checker(compiled({"json_schema": evil}), SamplingParams())
    assert judge is not None
    assert judge.fault(ParsedAnswer('"' + "a" * 5_000 + '"')) is None
    assert "does not match" in (judge.fault(ParsedAnswer('"' + "a" * 5_000 + '!"')) or "")


def test_the_verdict_gives_up_on_schemas_that_ask_the_same_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At each level both options look at all that is inside: a billion times at this depth."""
    monkeypatch.setattr(validator, "_MAX_SECONDS", 0.5)
    lists = [{"type": "array", "items": {"$ref": "#/$defs/a"}, "maxItems": size} for size in (1, 2)]
    judge = validator.SchemaChecker(
        {"$defs": {"a": {"anyOf": [*lists, {"type": "null"}]}}, "$ref": "#/$defs/a"}
    )
    assert judge.fault("[" * 5 + "[null]" + "]" * 5) is None
    assert "is not valid" in (judge.fault("[" * 5 + "1" + "]" * 5) or "")
    assert judge.fault("[" * 30 + "1" + "]" * 30) is None


def test_limits_of_tokens_say_nothing_of_a_texts_length() -> None:
    limited = 'start: a\na[capture, stop="max_tokens=1]", max_tokens=2]: /[a-z]+/'
    judge = answer_checker(compiled({"guided_grammar": limited}), SamplingParams())
    assert judge is not None
    assert judge.fault(ParsedAnswer("abcdefmax_tokens=1]")) is None
    assert judge.fault(ParsedAnswer("abcdef1")) is not None
    literal = answer_checker(
        compiled({"guided_grammar": 'start: "a[max_tokens=2]:" /[a-z]/'}), SamplingParams()
    )
    assert literal is not None
    assert literal.fault(ParsedAnswer("a[max_tokens=2]:z")) is None


def test_the_temperature_of_a_rule_is_told() -> None:
    for head, told in (("a[temperature=0.5]", ("#temperature",)), ('a[stop="temperature=1"]', ())):
        made = compiled({"guided_grammar": f"start: a\n{head}: /[a-z]+/"})
        assert made is not None
        assert made.unenforced == told


def test_where_white_space_may_be_missing_exact_text_is_not_judged() -> None:
    for fields in (
        {"guided_regex": r"\n+a"},
        {"guided_choice": ["a", "\n\na"]},
        {"grammar": 'root ::= "\\n" "a"'},
    ):
        made = compiled(fields)
        exact, trimmed = (
            answer_checker(made, SamplingParams()),
            answer_checker(made, SamplingParams(), is_trimmed=True),
        )
        assert exact is not None
        assert exact.fault(ParsedAnswer("b")) is not None
        assert trimmed is None
    assert answer_checker(compiled({"json_schema": {}}), SamplingParams(), is_trimmed=True) is not None
