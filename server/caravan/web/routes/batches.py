"""`/v1/batches`: files of requests, which are answered beneath everything else."""

from caravan_schemas.batches import Batch, BatchRequest
from caravan_schemas.common import ObjectList
from caravan_schemas.queries import PageQuery
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse
from caravan.web.openapi import describe_body, describe_query
from caravan.web.query_params import read_query

router = APIRouter(tags=["batches"])

_ONE = "/v1/batches/{batch_id}"


@router.post("/v1/batches", response_model=Batch, openapi_extra=describe_body(BatchRequest))
async def create_batch(request: Request, services: UseServices, context: UseContext) -> Response:
    """Have each line of an uploaded file answered.

    All lines are checked first: where one is wrong, the batch is `failed`, and `errors` has what is wrong.
    Then each is answered once, whenever nothing else wants the model.
    """
    body = await services.bodies.read(request, BatchRequest)
    return JsonResponse(await services.batches.create(body, context.principal))


@router.get("/v1/batches", response_model=ObjectList, openapi_extra=describe_query(PageQuery))
async def list_batches(request: Request, services: UseServices, context: UseContext) -> Response:
    """The batches of this key, the newest first, in pages of `limit`."""
    query = read_query(request, PageQuery, strict=services.strict_fields)
    return JsonResponse(await services.batches.list(query, context.principal))


@router.get(_ONE, response_model=Batch)
async def get_batch(batch_id: str, services: UseServices, context: UseContext) -> Response:
    """A batch as it stands: its state, its counts, and its files of answers once it has ended."""
    return JsonResponse(await services.batches.retrieve(batch_id, context.principal))


@router.post(f"{_ONE}/cancel", response_model=Batch)
async def cancel_batch(batch_id: str, services: UseServices, context: UseContext) -> Response:
    """End a batch. What has been answered by then is in its files all the same."""
    return JsonResponse(await services.batches.cancel(batch_id, context.principal))
