"""Every failure answers in OpenAI's envelope, and the OpenAPI document tells of everything."""

import pytest
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient


@pytest.mark.parametrize("path", ["/v1", "/v1/chat/completions/", "/v2/models", "/%00", "/v1/embedding"])
def test_no_such_route(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    error = ErrorResponse.model_validate_json(response.content).error
    assert (error.code, error.type) == ("unknown_url", "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/completions"),
        ("PUT", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("DELETE", "/ready"),
    ],
)
def test_no_such_method(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    error = ErrorResponse.model_validate_json(response.content).error
    assert error.code == "method_not_allowed"
    assert f"It takes {response.headers['allow']}." in error.message


def test_the_documentation_shows_routes_requests_and_responses(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path, request, response in (
        ("/v1/chat/completions", "ChatCompletionRequest", "ChatCompletion"),
        ("/v1/completions", "CompletionRequest", "Completion"),
    ):
        operation = document["paths"][path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        assert content["schema"]["$ref"] == f"#/components/schemas/{request}"
        answer = operation["responses"]["200"]["content"]["application/json"]
        assert answer["schema"]["$ref"] == f"#/components/schemas/{response}"
        assert schemas[request]["properties"]["temperature"]["description"]
    for path in ("/v1/models", "/v1/models/{model_id}", "/health", "/ready"):
        assert "get" in document["paths"][path]


def test_the_documentation_shows_failures_and_streams(client: TestClient) -> None:
    streaming = set()
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            for status in ("4XX", "5XX"):
                shown = operation["responses"][status]["content"]["application/json"]["schema"]
                name = "OllamaErrorResponse" if path.startswith("/api/") else "ErrorResponse"
                name = "MessagesError" if path.startswith("/v1/messages") else name
                assert shown == {"$ref": f"#/components/schemas/{name}"}
            if "text/event-stream" in operation["responses"]["200"]["content"]:
                streaming.add((method, path))
    assert streaming == {
        ("post", "/v1/chat/completions"),
        ("post", "/v1/completions"),
        ("post", "/v1/responses"),
        ("post", "/v1/messages"),
        ("get", "/v1/responses/{response_id}"),
        ("post", "/completion"),
        ("post", "/infill"),
    }


def test_every_reference_of_the_documentation_resolves(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    names = set(document["components"]["schemas"])
    pending, references = [document], set()
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            references |= {node["$ref"]} if "$ref" in node else set()
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    assert references
    assert references <= {f"#/components/schemas/{name}" for name in names}
