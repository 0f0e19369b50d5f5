"""`POST /tokenize`, `POST /detokenize` and `POST /apply-template`, each under `/v1`, too."""

from caravan_schemas.tokenize import (
    ApplyTemplateRequest,
    ApplyTemplateResponse,
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeRequest,
    TokenizeResponse,
)
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse, respond_in_pieces
from caravan.web.openapi import describe_body

router = APIRouter(tags=["tokens"])


@router.post("/v1/tokenize", include_in_schema=False)
@router.post("/tokenize", response_model=TokenizeResponse, openapi_extra=describe_body(TokenizeRequest))
async def tokenize(request: Request, services: UseServices, context: UseContext) -> Response:
    """The token ids of a text, or of the prompt that a chat completion would begin with.

    Any length is counted, also beyond the model's context. A long answer is sent while it is made.
    """
    body = await services.bodies.read(request, TokenizeRequest)
    return await respond_in_pieces(services.tokens.tokenize(body, context))


@router.post("/v1/detokenize", include_in_schema=False)
@router.post("/detokenize", response_model=DetokenizeResponse, openapi_extra=describe_body(DetokenizeRequest))
async def detokenize(request: Request, services: UseServices, context: UseContext) -> Response:
    """The text of token ids, control tokens written out; bytes that are no characters become U+FFFD."""
    body = await services.bodies.read(request, DetokenizeRequest)
    return JsonResponse(await services.tokens.detokenize(body, context))


@router.post("/v1/apply-template", include_in_schema=False)
@router.post(
    "/apply-template", response_model=ApplyTemplateResponse, openapi_extra=describe_body(ApplyTemplateRequest)
)
async def apply_template(request: Request, services: UseServices, context: UseContext) -> Response:
    """The prompt that the model's chat template makes of messages and tools."""
    body = await services.bodies.read(request, ApplyTemplateRequest)
    return JsonResponse(await services.tokens.apply_template(body, context))
