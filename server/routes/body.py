"""Request bodies: read within a limit, and parsed by Pydantic from their bytes."""

import asyncio
from typing import Any, TypeVar

from fastapi import Request

from schemas.base import Schema
from schemas.model_name import ModelFields
from server import record
from server.errors import RequestTimeoutError, RequestTooLargeError
from server.routes.deps import Services
from server.routes.encoding import unwrapped
from server.service.model_name import chosen
from server.service.validation import parse

S = TypeVar("S", bound=Schema)


async def read_request(request: Request, schema: type[S], services: Services) -> S:
    """The body as `schema`. The content type is not asked for: what is not JSON says so itself."""
    try:
        async with asyncio.timeout(services.body_seconds):
            body = await _read(request, services.max_body_bytes)
    except TimeoutError as error:
        message = f"The body did not arrive within {services.body_seconds:g} seconds."
        raise RequestTimeoutError(message) from error
    encoding = request.headers.get("content-encoding", "")
    read = parsed(schema, unwrapped(body, encoding, services.max_body_bytes), services)
    if isinstance(read, ModelFields):
        read.model = chosen(services.registry, read.model)
    return read


def parsed(schema: type[S], body: bytes, services: Services) -> S:
    """What is in a body, or in an address that has been written as one; told is what of it has no effect."""
    found = parse(schema, body, strict=services.strict_fields)
    record.current().ignore(found.ignored)
    record.current().note("x-caravan-replaced", found.replaced)
    return found.request


async def _read(request: Request, limit: int) -> bytes:
    """The whole body; refused as soon as it is known to be too large, be it by its own announcement."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    body = bytearray()
    if size <= limit:
        async for chunk in request.stream():
            body += chunk
            size = len(body)
            if size > limit:
                break
    if size > limit:
        raise RequestTooLargeError(f"The body is larger than {limit} bytes.")
    return bytes(body)


def described(schema: type[Schema]) -> dict[str, Any]:
    """The part of an OpenAPI operation that FastAPI cannot infer where a route reads its body itself."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


def streamed(*events: type[Schema]) -> dict[int | str, dict[str, Any]]:
    """The part of an operation's responses that says what one event of its stream is."""
    references = [{"$ref": f"#/components/schemas/{event.__name__}"} for event in events]
    content = references[0] if len(references) == 1 else {"anyOf": references}
    written = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    event = {
        "type": "object",
        "properties": {"event": {"type": "string"}, "data": {"anyOf": [{"const": "[DONE]"}, written]}},
        "required": ["data"],
    }
    return {200: {"content": {"text/event-stream": {"schema": event}}}}
