"""Constraints from the wire to the checked answer, on the model that ships, as hot as it gets.

`CARAVAN_TEST_SCHEMAS=500` in the environment tries that many generated schemas instead of a sample.
"""

import json
import os
import re
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import httpx
import jsonschema
import pydantic
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.e2e.conftest import Served
from tests.e2e.random_schemas import RandomSchemas
from tests.live_server import live_server
from tests.waiting import PATIENCE

DATA = Path(__file__).parent / "data"
SCHEMAS: dict[str, dict[str, Any]] = json.loads((DATA / "schemas.json").read_text(encoding="utf-8"))
NUM_GENERATED = int(os.environ.get("CARAVAN_TEST_SCHEMAS", "120"))

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def ask() -> Generator[Ask, None, None]:
    """A way to ask the resident model for a text completion at temperature 1.5."""
    settings = Settings(context_size=2048, threads=1)
    registry = registry_of(settings)
    with (
        live_server(registry, settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):

        def ask(**fields: object) -> httpx.Response:
            body = {
                "model": "caravan-resident",
                "prompt": "JSON: ",
                "max_tokens": 300,
                "temperature": 1.5,
                "seed": 1,
            }
            return client.post("/v1/completions", json=body | fields)

        yield ask


def choices(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["choices"]
    return found


def finished(answer: httpx.Response) -> list[str]:
    """The texts that ended by themselves."""
    return [choice["text"] for choice in choices(answer) if choice["finish_reason"] == "stop"]


def validate(schema: dict[str, Any], text: str) -> None:
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("name", SCHEMAS)
def test_finished_answers_satisfy_their_schema(ask: Ask, name: str) -> None:
    schema = SCHEMAS[name]
    for text in finished(ask(json_schema=schema, n=3)):
        validate(schema, text)


def test_most_answers_finish(ask: Ask) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(lambda schema: finished(ask(json_schema=schema)), SCHEMAS.values())
        assert sum(map(len, answers)) > 0.8 * len(SCHEMAS)


def test_answers_of_generated_schemas_are_valid(ask: Ask) -> None:
    source = RandomSchemas(seed=20)
    schemas = [source.schema() for _ in range(NUM_GENERATED)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda schema: finished(ask(json_schema=schema)), schemas))
    for schema, texts in zip(schemas, answers, strict=True):
        for text in texts:
            validate(schema, text)
    assert sum(map(len, answers)) > 0.8 * NUM_GENERATED


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_regex": r"\d{3}-[a-f]+"}, r"\d{3}-[a-f]+"),
        ({"structured_outputs": {"regex": "(?i)yes|no"}}, "(?i)yes|no"),
        ({"guided_choice": ["a", "ab", 'é/"\n']}, 'a|ab|é/"\n'),
        ({"structured_outputs": {"choice": ["only"]}}, "only"),
        ({"guided_grammar": 'start: "<" NAME ">"\nNAME: /[a-z]{1,9}/'}, "<[a-z]{1,9}>"),
        ({"structured_outputs": {"grammar": 'start: "(" start ")" | "x"'}}, r"\(*x\)*"),
        ({"structured_outputs": {"json": '{"type": "boolean"}'}}, "true|false"),
        ({"guided_json": {"const": [1]}}, r"\[\s*1\s*\]"),
        ({"response_format": {"type": "json_object", "schema": {"const": 5}}}, "5"),
        ({"response_format": {"type": "text"}, "guided_choice": ["b"]}, "b"),
    ],
)
def test_every_kind_under_every_name(ask: Ask, fields: dict[str, Any], pattern: str) -> None:
    for text in finished(ask(**fields, n=4)):
        assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize(
    "fields",
    [{"response_format": {"type": "json_object"}}, {"structured_outputs": {"json_object": True}}],
)
def test_any_object(ask: Ask, fields: dict[str, Any]) -> None:
    for text in finished(ask(**fields, n=4)):
        assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("name", ["person", "tuple", "enum_unicode", "pattern_unicode"])
def test_a_stream_says_what_the_whole_answer_says(served: Served, name: str) -> None:
    create = served.client.completions.create
    body = {"json_schema": SCHEMAS[name]}
    whole = create(model="tiny", prompt="JSON:", n=2, seed=1, max_tokens=90, temperature=1.5, extra_body=body)
    texts = ["", ""]
    for chunk in create(
        model="tiny",
        prompt="JSON:",
        n=2,
        seed=1,
        max_tokens=90,
        temperature=1.5,
        extra_body=body,
        stream=True,
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in whole.choices]


def test_the_official_client_parses_what_it_asked_for(served: Served) -> None:
    class Event(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        name: Literal["fair", "party"]
        hour: int = pydantic.Field(ge=0, le=23)

    reply = served.client.chat.completions.parse(
        model="tiny",
        messages=[{"role": "user", "content": "When?"}],
        response_format=Event,
        temperature=1.5,
        max_tokens=200,
    )
    assert isinstance(reply.choices[0].message.parsed, Event)


def test_a_constraint_cut_short_says_so(ask: Ask) -> None:
    (choice,) = choices(ask(response_format={"type": "json_object"}, max_tokens=3))
    assert choice["finish_reason"] == "length"
    assert choice["text"].startswith("{")


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_what_leaves_nothing_to_say_ends_that_request_alone(ask: Ask, temperature: float) -> None:
    answer = ask(guided_choice=["yes", "no"], allowed_token_ids=[5], temperature=temperature)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("guided_choice", "constraint_failed")
    assert "every token is banned" in error["message"]
    assert finished(ask(guided_choice=["yes"])) == ["yes"]


def test_samplers_that_look_at_everything_obey_too(ask: Ask) -> None:
    schema = SCHEMAS["person"]
    for fields in (
        {"temperature": 0},
        {"mirostat": 2},
        {"min_p": 0.2, "repeat_penalty": 1.5, "dry_multiplier": 1},
        {"logit_bias": {"5": 100, "6": -100}},
        {"ignore_eos": True},
        {"min_tokens": 60},
        {"xtc_probability": 0.5, "best_of": 3},
    ):
        texts = finished(ask(json_schema=schema, **fields))
        assert texts
        for text in texts:
            validate(schema, text)
