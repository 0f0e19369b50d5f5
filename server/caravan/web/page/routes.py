"""`GET /` and the files of the page, which need no key: they are the same for everybody, and hold no data."""

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import Headers

from caravan.web.packed_file import made_once
from caravan.web.page.files import page_files
from caravan.web.page.parameters import parameter_document

router = APIRouter(include_in_schema=False)

# Paths that ask for no key: the one, and what is below the other.
ROOT = "/"
BELOW = "/page/"

# Nothing inline but what the document begins with, nothing from elsewhere; HTML is made of texts by DOMPurify
# alone.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' {scripts}",
        "style-src 'self' {style}",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
_DOCUMENT_HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # What `/` answers depends on what is asked for.
    "vary": "accept, accept-encoding",
}
_ASK_AGAIN = "no-cache"
_FOREVER = "public, max-age=31536000, immutable"


def is_public(path: str) -> bool:
    """Say whether a path is the page's, where nobody needs a key."""
    return path == ROOT or path.startswith(BELOW)


def wants_page(headers: Headers) -> bool:
    """Say whether a browser asks, and no client of the API."""
    return "text/html" in headers.get("accept", "").lower()


async def page_document(request: Request) -> Response:
    """Answer with the document that loads everything else."""
    files = await made_once(page_files)
    policy = _POLICY.format(scripts=files.scripts, style=files.style)
    headers = {"content-security-policy": policy, "cache-control": _ASK_AGAIN}
    return files.index.answer(request, _DOCUMENT_HEADERS | headers)


@router.get("/page/parameters.json")
async def parameters() -> Response:
    """What the controls of the decoding parameters are made from."""
    headers = {"cache-control": _ASK_AGAIN}
    return Response(await made_once(parameter_document), media_type="application/json", headers=headers)


# The version in the path makes a file of a new server another file, relative imports included.
@router.get("/page/{version}/{path:path}")
async def page_file(version: str, path: str, request: Request) -> Response:
    """A file of the page. One of an older server's page gets today's, so that it goes on."""
    files = await made_once(page_files)
    file = files.files.get(path)
    if file is None:
        raise HTTPException(404)
    cache = _FOREVER if version == files.version else _ASK_AGAIN
    return file.answer(request, {"cache-control": cache})
