"""Ollama's own API under `/api`."""

from typing import Any

from caravan_schemas.base import Schema
from caravan_schemas.ollama import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaShowRequest,
)
from caravan_schemas.ollama_answers import (
    OllamaChatAnswer,
    OllamaEmbedAnswer,
    OllamaEmbeddingsAnswer,
    OllamaGenerateAnswer,
    OllamaLoadedList,
    OllamaModelList,
    OllamaShown,
    OllamaVersion,
)
from fastapi import APIRouter, Request, Response

from caravan.api.ollama.service import Answered, asks_nothing, asks_to_unload
from caravan.errors import PermissionDeniedError
from caravan.version import version
from caravan.web.dependencies import UseContext, UseServices, require_admin
from caravan.web.error_response import LINES
from caravan.web.ndjson import LinesResponse
from caravan.web.openapi import OLLAMA_ERRORS, describe_body
from caravan.web.sse import respond_whole

# The release of Ollama whose API this is.
_FOLLOWED = "0.13.0"

_UNCHANGED = (
    "Models cannot be changed by requests to this server. Its operator gets them with 'caravan pull' and "
    "names them in the server's settings; GET /api/tags lists them."
)

router = APIRouter(tags=["ollama"], responses=OLLAMA_ERRORS)


def _lines(answer: type[Schema]) -> dict[int | str, dict[str, Any]]:
    """Describe a stream whose lines are such answers."""
    line = {"$ref": f"#/components/schemas/{answer.__name__}"}
    written = {"type": "string", "contentMediaType": "application/json", "contentSchema": line}
    return {200: {"content": {LINES: {"schema": written}}}}


@router.post(
    "/api/chat",
    response_model=OllamaChatAnswer,
    responses=_lines(OllamaChatAnswer),
    openapi_extra=describe_body(OllamaChatRequest),
)
async def ollama_chat(request: Request, services: UseServices, context: UseContext) -> Response:
    """Answer a conversation in lines of JSON or, with `stream` false, in one piece.

    Without messages it loads the model, or unloads it with `keep_alive` 0, if an administrator asks.
    """
    return await _answered(await services.bodies.read(request, OllamaChatRequest), request, services, context)


@router.post(
    "/api/generate",
    response_model=OllamaGenerateAnswer,
    responses=_lines(OllamaGenerateAnswer),
    openapi_extra=describe_body(OllamaGenerateRequest),
)
async def ollama_generate(request: Request, services: UseServices, context: UseContext) -> Response:
    """Answer one prompt by the chat template, continue it with `raw`, or fill the gap before a `suffix`.

    Without a prompt it loads the model, or unloads it with `keep_alive` 0, if an administrator asks.
    """
    body = await services.bodies.read(request, OllamaGenerateRequest)
    return await _answered(body, request, services, context)


async def _answered(body: Answered, request: Request, services: UseServices, context: UseContext) -> Response:
    if not asks_nothing(body):
        return LinesResponse(services.ollama.run(body, context), services)
    if unloads := asks_to_unload(body):
        await require_admin(request)
    return await respond_whole(request, services.ollama.load(body, context, unloads=unloads))


@router.post("/api/embed", response_model=OllamaEmbedAnswer, openapi_extra=describe_body(OllamaEmbedRequest))
async def ollama_embed(request: Request, services: UseServices, context: UseContext) -> Response:
    """Vectors of texts. A text that is too long is refused."""
    body = await services.bodies.read(request, OllamaEmbedRequest)
    return await respond_whole(request, services.ollama.embeddings.embed(body, context))


@router.post(
    "/api/embeddings",
    response_model=OllamaEmbeddingsAnswer,
    openapi_extra=describe_body(OllamaEmbeddingsRequest),
)
async def ollama_embeddings(request: Request, services: UseServices, context: UseContext) -> Response:
    """The vector of one text, in the older form."""
    body = await services.bodies.read(request, OllamaEmbeddingsRequest)
    return await respond_whole(request, services.ollama.embeddings.embed_one(body, context))


@router.get("/api/tags")
async def ollama_tags(services: UseServices, context: UseContext) -> OllamaModelList:
    """All models, loaded or not."""
    return await services.ollama.models.tags(context.principal)


@router.get("/api/ps")
async def ollama_ps(services: UseServices, context: UseContext) -> OllamaLoadedList:
    """The models that are loaded, and the memory that they may take."""
    return await services.ollama.models.loaded(context.principal)


@router.post("/api/show", response_model=OllamaShown, openapi_extra=describe_body(OllamaShowRequest))
async def ollama_show(request: Request, services: UseServices, context: UseContext) -> OllamaShown:
    """What a model's file says, its chat template, the defaults that hold here, and what it can do."""
    body = await services.bodies.read(request, OllamaShowRequest)
    return await services.ollama.models.show(body, context)


@router.get("/api/version")
async def ollama_version() -> OllamaVersion:
    """Which Ollama's API this follows, and the server's own version."""
    return OllamaVersion(version=_FOLLOWED, caravan=version())


@router.post("/api/pull")
@router.post("/api/push")
@router.post("/api/create")
@router.post("/api/copy")
@router.delete("/api/delete")
async def ollama_change() -> Response:
    """Refused with 403, whoever asks: the operator decides which models there are, by the server's settings
    and with `caravan pull`.
    """
    raise PermissionDeniedError(_UNCHANGED)


@router.post("/api/blobs/{digest}")
async def ollama_blob(digest: str) -> Response:
    """Refused with 403, whoever asks: no files are taken."""
    raise PermissionDeniedError(f"The file '{digest[:80]}' is not taken. {_UNCHANGED}")
