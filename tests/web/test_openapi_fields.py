"""The OpenAPI document says of every field what it means, and within one request or answer nothing twice."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app

from tests.fakes_web import loaded_model, registry_over

# Names that mean several things in one request or answer, and why they do.
SEVERAL = {
    **dict.fromkeys(
        ("arguments", "delta", "input"),
        "a chunk has a piece of what the whole answer has under the same name",
    ),
    **dict.fromkeys(("call_id", "output"), "of a call it is its own, of a result that of the call"),
    **dict.fromkeys(
        ("content", "id", "name", "status", "text", "type"), "protocols name parts of everything so"
    ),
    **dict.fromkeys(
        ("data", "source", "thinking"), "blocks of Anthropic's have their own, which are not all read"
    ),
    **dict.fromkeys(
        ("format", "mode", "summary", "top_logprobs", "tools"), "options, and what they are options of"
    ),
    **dict.fromkeys(("description", "schema"), "of tools, and of the JSON that is asked for"),
    "encrypted_content": "a compaction's is read, a thought's is not",
    "function_call": "a choice in the request, a call in its messages",
    **dict.fromkeys(
        ("grammar", "json_schema", "regex"), "several servers' names for constraints of answers and inputs"
    ),
    "memory_bytes": "of a model, and of all",
    "message": "Anthropic's event begins a message, its error has one",
    "prompt_tokens": "of an explanation without what its answer is continued from",
    "stages": "of a text by their names, of a draw with what each has left",
    "probability": "of a statement, or of one of several answers",
    "value": "of a choice, or of a level",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(), registry_over(loaded_model())).openapi()


def fields(document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    schemas = document["components"]["schemas"]
    return [
        (name, field, shape)
        for name, schema in schemas.items()
        for field, shape in schema.get("properties", {}).items()
    ]


def reachable(node: object, schemas: Mapping[str, Any], found: set[str]) -> set[str]:
    """The names of all schemas that a part of the document leads to."""
    if isinstance(node, dict):
        name = node.get("$ref", "").removeprefix("#/components/schemas/")
        if name and name not in found:
            found.add(name)
            reachable(schemas[name], schemas, found)
        for value in node.values():
            reachable(value, schemas, found)
    elif isinstance(node, list):
        for value in node:
            reachable(value, schemas, found)
    return found


def test_every_field_and_parameter_says_what_it_means(document: dict[str, Any]) -> None:
    silent = [f"{name}.{field}" for name, field, shape in fields(document) if not shape.get("description")]
    assert len(fields(document)) > 1000
    assert silent == []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (method, path, parameter["name"])


def test_every_schema_says_what_it_is(document: dict[str, Any]) -> None:
    # Pydantic's own: any JSON.
    silent = [
        name for name, schema in document["components"]["schemas"].items() if not schema.get("description")
    ]
    assert silent in ([], ["JsonValue"])


def test_a_name_means_one_thing_in_a_request_or_an_answer_or_there_is_a_reason(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    several: set[str] = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = {
                status: answer for status, answer in operation["responses"].items() if "X" not in status
            }
            for side in (operation.get("requestBody", {}), answers):
                meanings: dict[str, set[str]] = defaultdict(set)
                for name in reachable(side, schemas, set()):
                    for field, shape in schemas[name].get("properties", {}).items():
                        meanings[field].add(shape["description"])
                several |= {field for field, texts in meanings.items() if len(texts) > 1}
    assert several == set(SEVERAL)
