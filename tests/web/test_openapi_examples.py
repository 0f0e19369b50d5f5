"""The OpenAPI document has an example for every request and answer, and each is what its schema describes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan.web.examples.document import usual_failures
from caravan.web.examples.requests import REFUSED, REQUESTS
from fastapi.testclient import TestClient

from tests.fakes_web import loaded_model, registry_over

BODY = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}
CHAT = "/v1/chat/completions"


class Operation(NamedTuple):
    """One route of the document."""

    method: str
    path: str
    told: dict[str, Any]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(), registry_over(loaded_model())).openapi()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(method, path, told)


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All bodies that an operation describes: its request and its answers."""
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from holder.get("content", {}).values()


def test_every_operation_has_a_summary_a_tag_and_usual_failures(document: dict[str, Any]) -> None:
    for method, path, told in operations(document):
        assert told["summary"], (method, path)
        assert told["description"], (method, path)
        assert len(told["tags"]) == 1, (method, path)
        for status, first in (("4XX", "400"), ("5XX", "503")):
            assert first in told["responses"][status]["content"]["application/json"]["examples"], (
                method,
                path,
            )


def test_every_request_and_answer_has_an_example(document: dict[str, Any]) -> None:
    shown = {(example.method, example.path) for example in REQUESTS if example.is_shown}
    described = {(method, path) for method, path, _ in operations(document)}
    assert shown | REFUSED == described
    assert not shown & REFUSED
    for method, path, told in operations(document):
        if (method, path) in REFUSED:
            continue
        for parameter in told.get("parameters", []):
            assert "example" in parameter or parameter["in"] == "query", (method, path, parameter["name"])
        for content in told.get("requestBody", {}).get("content", {}).values():
            assert "example" in content, (method, path)
        for kind, content in told["responses"]["200"]["content"].items():
            assert "example" in content, (method, path, kind)


def test_examples_are_what_their_schemas_describe(document: dict[str, Any]) -> None:
    num_checked = 0
    for method, path, told in operations(document):
        for content in contents(told):
            examples = [content["example"]] if "example" in content else []
            examples += [example["value"] for example in content.get("examples", {}).values()]
            for example in examples:
                schema = {**content.get("schema", {}), "components": document["components"]}
                errors = list(jsonschema.Draft202012Validator(schema).iter_errors(example))
                assert not errors, (method, path, errors[0].message)
                num_checked += 1
    assert num_checked > 2 * len(document["paths"])


def test_failures_are_shown_as_they_are_told(tmp_path: Path) -> None:
    registry = registry_over(loaded_model())
    app = create_app(Settings(data_dir=tmp_path), registry)
    shown = {status: (error.message, error.code) for status, error in usual_failures().items()}
    with TestClient(app, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        told = {"400": client.post(CHAT, json={**BODY, "temperature": -1})}
        told["404"] = client.post(CHAT, json={**BODY, "model": "no-such-model"})
        token = keys_file.add(tmp_path / "keys.json", name="alice", requests_per_minute=60)
        alice = {"authorization": f"Bearer {token}"}
        told["401"] = client.get("/v1/models", headers={"authorization": "Bearer wrong"})
        told["403"] = client.get("/status", headers=alice)
        limit = {
            "authorization": "Bearer "
            + keys_file.add(tmp_path / "keys.json", name="bob", requests_per_minute=1)
        }
        client.post(CHAT, json=BODY, headers=limit)
        told["429"] = client.post(CHAT, json=BODY, headers=limit)
    for status, answer in told.items():
        error = answer.json()["error"]
        message = (
            error["message"]
            .replace("'fake'", "'caravan-resident'")
            .replace("'bob' may use 1 ", "'alice' may use 60 ")
        )
        assert (str(answer.status_code), message, error["code"]) == (status, *shown[status])
