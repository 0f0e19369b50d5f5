"""Request bodies: read within a limit, and parsed by Pydantic from their bytes."""

import asyncio
from typing import Any, TypeVar

from caravan_schemas.base import Schema
from caravan_schemas.model_name import ModelFields
from fastapi import Request

from caravan.api.context import RequestContext, chosen_model
from caravan.api.validation.parse import Parsed, parse
from caravan.errors import RequestTimeoutError, RequestTooLargeError
from caravan.runtime.json_size import JsonSize, checked_size
from caravan.runtime.memory import require
from caravan.web.body_budget import held_body
from caravan.web.content_encoding import unwrapped
from caravan.web.dependencies import Services
from caravan.web.request_context import context_of

S = TypeVar("S", bound=Schema)

# Bodies that are read in a millisecond or two, for which a thread is not worth its while.
_SMALL = 16_384


async def read_request(request: Request, schema: type[S], services: Services) -> S:
    """The body as `schema`. The content type is not asked for: what is not JSON says so itself."""
    context = context_of(request.scope)
    try:
        async with asyncio.timeout(services.body_seconds):
            body = await _read(request, services.max_body_bytes)
    except TimeoutError as error:
        message = f"The body did not arrive within {services.body_seconds:g} seconds."
        raise RequestTimeoutError(message) from error
    encoding = request.headers.get("content-encoding", "")
    if len(body) <= _SMALL and not encoding:
        found = await services.bodies.lanes.at_once(
            lambda: parse(schema, unwrapped(body, "", len(body)), strict=services.strict_fields),
            context.principal,
        )
    else:
        found = await _read_aside(request, schema, body, encoding, services)
    read = _told(found, context)
    if isinstance(read, ModelFields):
        read.model = chosen_model(services.registry, read.model, context.principal)
    return read


def parsed(schema: type[S], document: bytes, services: Services, context: RequestContext) -> S:
    """What is in an address that has been written as a body; told is what of it has no effect."""
    return _told(parse(schema, document, strict=services.strict_fields), context)


async def _read_aside(
    request: Request, schema: type[S], body: bytes, encoding: str, services: Services
) -> Parsed[S]:
    """What is in a large body, which is read on a thread, once it is known to have not too much in it."""
    bodies = services.bodies

    def unpacked() -> tuple[bytes, JsonSize]:
        document = unwrapped(body, encoding, services.max_body_bytes)
        return document, checked_size(document)

    async with bodies.lanes.turn(len(body), context_of(request.scope).principal):
        document, size = await bodies.lanes.run(unpacked)
        bodies.budget.hold(held_body(request.scope), len(document) - len(body) + size.num_bytes)
        require(size.num_bytes, "the body")
        return await bodies.lanes.run(lambda: parse(schema, document, strict=services.strict_fields))


def _told(found: Parsed[S], context: RequestContext) -> S:
    context.metrics.ignore(found.ignored)
    context.metrics.note("x-caravan-replaced", found.replaced)
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
