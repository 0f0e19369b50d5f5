"""What the OpenAPI document tells of requests and answers that FastAPI does not see, because routes read and
write bytes.
"""

import functools
import re
import threading
from collections.abc import Sequence
from typing import Any, get_args

from caravan_schemas.anthropic_output import MessagesError, MessagesEvent
from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionChunk
from caravan_schemas.errors import ErrorResponse
from caravan_schemas.ollama_answers import OllamaErrorResponse
from caravan_schemas.responses_events import Event
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from caravan.web.examples.document import add_examples

# In the order in which a reader should meet them.
TAGS = {
    "chat": "Conversations, as OpenAI's clients have them",
    "responses": "OpenAI's Responses API",
    "conversations": "Items that are stored together, for responses",
    "files": "What is uploaded for batches, and what they write",
    "batches": "Files of requests, answered beneath everything else",
    "messages": "Anthropic's Messages API",
    "completions": "Texts that are continued",
    "embeddings": "Texts as vectors",
    "rank": "Documents by how well they meet a query",
    "audio": "Speech into text",
    "decisions": "Questions with given answers, and how likely each is",
    "decoding": "How an answer is drawn: what each stage leaves of the candidates",
    "models": "What there is, and what it can do",
    "tokens": "Texts and conversations as tokens",
    "ollama": "Ollama's own API",
    "llama.cpp": "The own routes of llama.cpp's server",
    "operations": "For those who run the server",
    "administration": "For administrators",
}
_END_OF_CLAUSE = re.compile(r"[.;:,](?:\s|$)")


def add_overview(document: dict[str, Any]) -> None:
    """Put it into `document`, which is changed."""
    document["tags"] = [{"name": name, "description": about} for name, about in TAGS.items()]
    # Where there are keys; without one, nobody is asked.
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    for operations in document["paths"].values():
        for operation in operations.values():
            # FastAPI's are the names of functions.
            operation["summary"] = _END_OF_CLAUSE.split(operation["description"], maxsplit=1)[0]


# As content, since FastAPI would give a "model" the media type of the route's answer: text for `/metrics`.
def _failures(schema: type[Schema]) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}}
    return {"4XX": {"content": content}, "5XX": {"content": content}}


ERRORS = _failures(ErrorResponse)
MESSAGES_ERRORS = _failures(MessagesError)
OLLAMA_ERRORS = _failures(OllamaErrorResponse)
# What routes take, by name, as they describe it.
_bodies: dict[str, type[Schema]] = {}
_ANSWERS: tuple[type[Schema], ...] = (
    ChatCompletionChunk,
    ErrorResponse,
    OllamaErrorResponse,
    *get_args(Event),
    *get_args(MessagesEvent),
)


def describe_body(schema: type[Schema], media_type: str = "application/json") -> dict[str, Any]:
    """Describe the body of an operation, which FastAPI cannot infer where a route reads it itself."""
    _bodies[schema.__name__] = schema
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": reference}}}}


def describe_form(schema: type[Schema]) -> dict[str, Any]:
    """Describe the body of an operation that is a form."""
    return describe_body(schema, "multipart/form-data")


def describe_bytes() -> dict[int | str, dict[str, Any]]:
    """Describe an answer that is a file."""
    shape = {"type": "string", "format": "binary"}
    return {200: {"content": {"application/octet-stream": {"schema": shape}}, "description": "The bytes."}}


def describe_events(*events: type[Schema]) -> dict[int | str, dict[str, Any]]:
    """Describe one event of an operation's stream: one of `events`, or any JSON where there are none."""
    references = [{"$ref": f"#/components/schemas/{event.__name__}"} for event in events]
    content = references[0] if len(references) == 1 else {"anyOf": references or [{}]}
    written = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    event = {
        "type": "object",
        "properties": {"event": {"type": "string"}, "data": {"anyOf": [{"const": "[DONE]"}, written]}},
        "required": ["data"],
    }
    return {200: {"content": {"text/event-stream": {"schema": event}}}}


def describe_query(schema: type[Schema]) -> dict[str, Any]:
    """Describe the parameters that an operation's address may have."""
    shapes = schema.model_json_schema()["properties"]
    return {"parameters": [_parameter(name, shape) for name, shape in shapes.items()]}


def _parameter(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    """A parameter; an address has no null, so the one that it may be in Python is left out."""
    (kind,) = (member for member in shape["anyOf"] if member != {"type": "null"})
    parameter = {"name": name, "in": "query", "description": shape["description"], "schema": kind}
    return parameter | ({"style": "deepObject", "explode": True} if kind["type"] == "object" else {})


def describe_bodies(app: FastAPI, *, strict: bool) -> None:
    """Put these schemas into the document of `app`; bodies may have more fields, unless it is strict."""
    infer, lock = app.openapi, threading.Lock()

    @functools.cache
    def made() -> dict[str, Any]:
        document = infer()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in _definitions([*_ANSWERS, *_bodies.values()]).items():
            schemas.setdefault(name, schema)
        for name in () if strict else _definitions(list(_bodies.values())):
            schemas[name].pop("additionalProperties", None)
        add_examples(document)
        add_overview(document)
        return document

    def openapi() -> dict[str, Any]:
        # It is made on threads; two that began at once would change one document together.
        with lock:
            return made()

    app.openapi = openapi  # type: ignore[method-assign]


def _definitions(schemas: Sequence[type[Schema]]) -> dict[str, Any]:
    """JSON schemas of these and of all that is in them, by name."""
    _, document = models_json_schema(
        [(schema, "validation") for schema in schemas], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Any] = document["$defs"]
    return definitions
