"""llama.cpp's own routes, as its server has them."""

from caravan_schemas.llama_cpp import (
    ControlAnswer,
    ControlRequest,
    InfillRequest,
    LlamaCompletionRequest,
    LlamaEmbedding,
    LlamaEmbeddingRequest,
    LlamaProps,
    LlamaSlot,
)
from caravan_schemas.queries import LlamaPropsQuery
from fastapi import APIRouter, Request, Response

from caravan.errors import NotServedError
from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body, describe_events, describe_query
from caravan.web.query_params import read_query
from caravan.web.sse import RunResponse, respond_whole

router = APIRouter(tags=["llama.cpp"])


@router.post("/completions", include_in_schema=False)
@router.post("/completion", responses=describe_events(), openapi_extra=describe_body(LlamaCompletionRequest))
async def llama_completion(request: Request, services: UseServices, context: UseContext) -> Response:
    """Continue a text."""
    body = await services.bodies.read(request, LlamaCompletionRequest)
    return RunResponse(services.llama_cpp.run(body, context), services)


@router.post("/infill", responses=describe_events(), openapi_extra=describe_body(InfillRequest))
async def llama_infill(request: Request, services: UseServices, context: UseContext) -> Response:
    """Fill the gap between two pieces of code, with pieces of other files at hand."""
    body = await services.bodies.read(request, InfillRequest)
    return RunResponse(services.llama_cpp.run(body, context), services)


@router.post(
    "/v1/chat/completions/control",
    response_model_exclude_unset=True,
    openapi_extra=describe_body(ControlRequest),
)
async def control_chat(request: Request, services: UseServices, context: UseContext) -> ControlAnswer:
    """End the thought of a chat of the caller's that is running, if it has `reasoning_control`."""
    body = await services.bodies.read(request, ControlRequest)
    return services.llama_cpp.control(body, context.principal)


@router.post(
    "/embedding", response_model=list[LlamaEmbedding], openapi_extra=describe_body(LlamaEmbeddingRequest)
)
async def llama_embedding(request: Request, services: UseServices, context: UseContext) -> Response:
    """Vectors of texts, of length 1."""
    body = await services.bodies.read(request, LlamaEmbeddingRequest)
    return await respond_whole(request, services.llama_cpp.embed(body, context))


@router.get("/props", openapi_extra=describe_query(LlamaPropsQuery))
async def llama_props(request: Request, services: UseServices, context: UseContext) -> LlamaProps:
    """What a model is like: its context, its decoding where a request says nothing, its chat template."""
    query = read_query(request, LlamaPropsQuery, strict=services.strict_fields)
    return await services.llama_cpp.props.props(query, context.principal)


@router.post("/props", include_in_schema=False)
async def change_props() -> Response:
    """Refused with 501, whoever asks: they are the operator's settings."""
    raise NotServedError("This server's properties are its operator's settings; requests cannot change them.")


@router.get("/slots", openapi_extra=describe_query(LlamaPropsQuery))
async def llama_slots(request: Request, services: UseServices, context: UseContext) -> list[LlamaSlot]:
    """How many texts a model is writing, of how many at once. Whose and what they are is not told."""
    query = read_query(request, LlamaPropsQuery, strict=services.strict_fields)
    return await services.llama_cpp.props.slots(query, context.principal)


@router.post("/slots/{id_slot}", include_in_schema=False)
async def change_slot(id_slot: str) -> Response:
    """Refused with 501, whoever asks: there are no slots whose cache could be saved, restored or erased."""
    raise NotServedError(f"Slot '{id_slot[:80]}': sequences share one memory; there are no slots to act on.")
