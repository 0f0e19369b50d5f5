"""`/docs`: a viewer of the OpenAPI document that loads nothing from elsewhere, so it works without internet.

Its files are the same for everybody, and need no key; what it shows, it asks for with one.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from caravan.runtime.threads import in_busy_thread
from caravan.web.docs_page.files import INDEX, docs_files
from caravan.web.packed_file import KINDS, PackedFile, made_once, packed_file

router = APIRouter(include_in_schema=False)

_PAGE = "/docs"
# Nothing inline, nothing from elsewhere. The viewer's style sheet has pictures in itself.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def is_public(path: str) -> bool:
    """Say whether a path is one of this page's files, for which nobody needs a key."""
    return path == _PAGE or path.startswith(f"{_PAGE}/")


@router.get(_PAGE)
async def docs(request: Request) -> Response:
    """All routes, requests and responses, to be searched and tried out."""
    return await _answer(request, INDEX)


@router.get(f"{_PAGE}/{{name}}")
async def docs_file(name: str, request: Request) -> Response:
    """A file of the page."""
    return await _answer(request, name)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The OpenAPI document. The first time takes most of a second."""
    return (await in_busy_thread(_document, request.app.openapi)).answer(request, {})


@functools.cache
def _document(make: Callable[[], dict[str, Any]]) -> PackedFile:
    return packed_file(json.dumps(make(), ensure_ascii=False).encode(), KINDS[".json"])


async def _answer(request: Request, name: str) -> Response:
    file = (await made_once(docs_files)).get(name)
    if file is None:
        raise HTTPException(404)
    return file.answer(request, {"content-security-policy": _POLICY, "cache-control": "no-cache"})
