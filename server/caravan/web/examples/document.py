"""Puts the examples into the OpenAPI document: beside bodies, parameters and answers, and of failures."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from caravan.errors import (
    AuthenticationError,
    CaravanError,
    EngineUnavailableError,
    InvalidValueError,
    ModelNotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from caravan.web.envelopes import envelope
from caravan.web.examples.requests import MODEL, REQUESTS, ExampleRequest

ANSWERS = Path(__file__).with_name("answers.json")
_REQUEST_ID = "req_2a561e4d33c94736966c7f81fbc8488a"

# What path parameters are, by their names.
PATH_PARAMETERS = {
    "batch_id": "The id of a batch.",
    "completion_id": "The id of a chat completion that was made with `store`.",
    "conversation_id": "The id of a conversation.",
    "digest": "The checksum of a file.",
    "file_id": "The id of a file.",
    "item_id": "The id of an item of the conversation.",
    "model_id": "The model, by a name that `GET /v1/models` lists.",
    "name": "What requests call the adapter.",
    "response_id": "The id of a stored response.",
}


def usual_failures() -> Mapping[str, CaravanError]:
    """List failures that clients should expect, in the words in which the server tells them."""
    return {
        "400": InvalidValueError("temperature", "must be from 0 to 100"),
        "401": AuthenticationError("The key is wrong or has been revoked."),
        "403": PermissionDeniedError("The key 'alice' is not an administrator's."),
        "404": ModelNotFoundError(
            f"The model 'no-such-model' does not exist. This server has '{MODEL}'.", param="model"
        ),
        "429": RateLimitError("The key 'alice' may use 60 requests per minute.", retry_after=1),
        "503": EngineUnavailableError("The server is shutting down.", retry_after=5),
    }


def add_examples(document: dict[str, Any]) -> None:
    """Put all of them into `document`, which is changed."""
    shown = {(example.method, example.path): example for example in REQUESTS if example.is_shown}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_failures(path, operation)
            _add_parameters(operation, shown.get((method, path)))
            if (example := shown.get((method, path))) is not None:
                _add_one(operation, example)


@functools.cache
def _answers() -> dict[str, Any]:
    answers: dict[str, Any] = json.loads(ANSWERS.read_text(encoding="utf-8"))
    return answers


def _add_one(operation: dict[str, Any], example: ExampleRequest) -> None:
    answers = _answers()[f"{example.method} {example.path}"]
    if example.form:
        operation["requestBody"]["content"]["multipart/form-data"]["example"] = dict(example.form)
    if example.body is not None:
        known = {name: answers["parameters"][value] for name, value in example.fills.items()}
        operation["requestBody"]["content"]["application/json"]["example"] = {**known, **example.body}
    contents = operation["responses"]["200"]["content"]
    for kind, told in answers["content"].items():
        contents[kind]["example"] = told


def _add_parameters(operation: dict[str, Any], example: ExampleRequest | None) -> None:
    values: dict[str, str] = {}
    if example is not None:
        values = {**example.query, **_answers()[f"{example.method} {example.path}"]["parameters"]}
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "path":
            parameter["description"] = PATH_PARAMETERS[name]
        if name in values:
            kind = parameter["schema"].get("type")
            parameter["example"] = int(values[name]) if kind == "integer" else values[name]


def _add_failures(path: str, operation: dict[str, Any]) -> None:
    for status in ("4XX", "5XX"):
        content = operation["responses"][status]["content"]["application/json"]
        content["examples"] = dict(_failures(path, status[0]))


def _failures(path: str, first: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, error in usual_failures().items():
        if status.startswith(first):
            told = envelope(error, {"type": "http", "path": path, "headers": []}, _REQUEST_ID)
            yield status, {"summary": f"{status} {error.code}", "value": told.model_dump(mode="json")}
