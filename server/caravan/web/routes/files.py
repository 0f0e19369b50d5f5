"""`/v1/files`: what is uploaded for batches, and what they write."""

from caravan_schemas.common import ObjectList
from caravan_schemas.files import DeletedFile, FileForm, FileObject, FilesQuery
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from caravan.api.batches.files_service import OpenFile
from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse
from caravan.web.openapi import describe_bytes, describe_form, describe_query
from caravan.web.query_params import read_query

router = APIRouter(tags=["files"])

_ONE = "/v1/files/{file_id}"


@router.post("/v1/files", response_model=FileObject, openapi_extra=describe_form(FileForm))
async def upload_file(request: Request, services: UseServices, context: UseContext) -> Response:
    """Upload a file for a batch, as a form with `file` and `purpose`.

    It is written to the server's disk as it comes, and kept for 30 days unless `expires_after` says more.
    """
    async with services.files.uploading(context.principal) as upload:
        upload.expect(request.headers.get("content-length"))
        form = await services.forms.read(request, FileForm, upload.write)
        return JsonResponse(await services.files.keep(upload, form, context.principal))


@router.get("/v1/files", response_model=ObjectList, openapi_extra=describe_query(FilesQuery))
async def list_files(request: Request, services: UseServices, context: UseContext) -> Response:
    """The files that were uploaded or written by batches, the newest first unless `order` is `asc`."""
    query = read_query(request, FilesQuery, strict=services.strict_fields)
    return JsonResponse(await services.files.list(query, context.principal))


@router.get(_ONE, response_model=FileObject)
async def get_file(file_id: str, services: UseServices, context: UseContext) -> Response:
    """What is known of a file."""
    return JsonResponse(await services.files.retrieve(file_id, context.principal))


@router.get(f"{_ONE}/content", response_class=Response, responses=describe_bytes())
async def get_file_content(file_id: str, services: UseServices, context: UseContext) -> Response:
    """The bytes of a file."""
    return _FileResponse(await services.files.content(file_id, context.principal))


@router.delete(_ONE)
async def delete_file(file_id: str, services: UseServices, context: UseContext) -> DeletedFile:
    """Forget a file. One that a batch still reads stays, and the answer is a 409."""
    return await services.files.delete(file_id, context.principal)


class _FileResponse(Response):
    """A file, read as fast as the client takes it."""

    media_type = "application/octet-stream"

    def __init__(self, opened: OpenFile) -> None:
        super().__init__(headers={"content-length": str(opened.num_bytes)})
        self._opened = opened

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        try:
            await self._opened.open()
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in self._opened.pieces():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._opened.close()
