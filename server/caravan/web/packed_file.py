"""Files of pages as they are sent: plain or packed, and kept by browsers as long as they are the same."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastapi import Request, Response

from caravan.runtime.threads import in_busy_thread

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_ZERO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?")

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, kw_only=True)
class PackedFile:
    """A file of the media type `kind`, known by its `tag`."""

    body: bytes
    packed: bytes
    kind: str
    tag: str

    def answer(self, request: Request, headers: dict[str, str]) -> Response:
        """Answer with it, or with the word that what the browser has is still the same."""
        headers = {"vary": "accept-encoding"} | headers | {"etag": self.tag}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        is_packed = _takes_gzip(request.headers.get("accept-encoding", ""))
        if is_packed:
            headers["content-encoding"] = "gzip"
        return Response(self.packed if is_packed else self.body, media_type=self.kind, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Read Accept-Encoding (RFC 9110, 12.5.3): a weight of 0 refuses; `*` stands for what is not named."""
    weights = {}
    for part in accepted.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights[name] = all(not _ZERO_WEIGHT.fullmatch(parameter) for parameter in parameters)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def packed_file(body: bytes, kind: str) -> PackedFile:
    """Pack what is sent more than once; two megabytes take a tenth of a second."""
    return PackedFile(body=body, packed=gzip.compress(body, mtime=0), kind=kind, tag=f'"{digest(body)}"')


def digest(body: bytes) -> str:
    """Name some bytes by what they are."""
    return hashlib.sha256(body).hexdigest()[:16]


class _Filled(Protocol):
    @property
    def currsize(self) -> int: ...


class Remembering(Protocol[T_co]):
    """A function without arguments, under `functools.cache`."""

    def __call__(self) -> T_co:
        """Make the result, or return it again."""

    def cache_info(self) -> _Filled:
        """Tell whether it has been made."""


async def made_once(make: Remembering[T]) -> T:
    """Call what remembers its only result: on a thread the first time, and here from then on."""
    return make() if make.cache_info().currsize else await in_busy_thread(make)
