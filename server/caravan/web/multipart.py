"""Forms with a file in them, read bit by bit: it goes to the disk as it comes, and never all into memory."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from caravan_schemas.base import Schema
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from caravan.api.context import context_of
from caravan.api.validation.parse import parse
from caravan.config.settings import Settings
from caravan.errors import (
    InvalidRequestError,
    InvalidValueError,
    RequestTimeoutError,
    UnsupportedEncodingError,
)
from caravan.web.request_body import report_ignored

S = TypeVar("S", bound=Schema)

_FILE = "file"
_MAX_PARTS = 16
_MAX_HEAD = 8192
_MAX_VALUE = 4096
_MAX_BOUNDARY = 256
# So much of a file is written at once; and whoever sends so much within the time for a body may go on.
_PIECE_BYTES = 1_048_576
_NUMBER = re.compile(r"[0-9]{1,15}")

Write = Callable[[bytes], Awaitable[None]]


@dataclass
class _Part:
    """What is known of one part: its raw headers, and what it is called."""

    head: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False


class _Form:
    """What has been read of a form: its fields, and of its file what nobody has taken yet."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.has_ended = False
        self.pending: list[bytes] = []
        self.num_pending = 0
        self._part = _Part()
        self._num_parts = 0
        self._num_head = 0
        self._header = [b"", b""]
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._name_part,
                "on_part_data": lambda data, start, end: self._take(data[start:end]),
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Read on. Raises InvalidRequestError."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _invalid(str(error)) from error

    def taken(self) -> bytes:
        """Take what has come of the file."""
        data = b"".join(self.pending)
        self.pending, self.num_pending = [], 0
        return data

    def _begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > _MAX_PARTS:
            raise _invalid(f"it has more than {_MAX_PARTS} parts")
        self._part, self._value, self._num_head = _Part(), bytearray(), 0

    def _add_to_header(self, index: int, data: bytes) -> None:
        self._num_head += len(data)
        if self._num_head > _MAX_HEAD:
            raise _invalid("the head of a part is too large")
        self._header[index] += data

    def _end_header(self) -> None:
        self._part.head[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _name_part(self) -> None:
        kind, options = parse_options_header(self._part.head.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise _invalid("a part has no name")
        name = options[b"name"].decode(errors="replace")
        filename = options.get(b"filename")
        if name in self.fields:
            raise InvalidValueError(name[:80], "is in the form more than once")
        if (name == _FILE) != (filename is not None):
            complaint = "must be a file, with a file name" if name == _FILE else "must be no file"
            raise InvalidValueError(name[:80], complaint)
        self._part.name = name
        if filename is not None:
            self._part.is_file = True
            self.fields[_FILE] = filename.decode(errors="replace") or "upload"

    def _take(self, data: bytes) -> None:
        if self._part.is_file:
            self.pending.append(data)
            self.num_pending += len(data)
            return
        self._value += data
        if len(self._value) > _MAX_VALUE:
            raise InvalidValueError(self._part.name[:80], f"is longer than {_MAX_VALUE} bytes")

    def _end_part(self) -> None:
        if not self._part.is_file:
            self.fields[self._part.name] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self.has_ended = True


class FormReader:
    """Reads forms with one file each, within limits of time; a slow one is ended, a large one is not."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.body_seconds
        self._strict = settings.strict_fields

    async def read(self, request: Request, schema: type[S], write: Write) -> S:
        """Hand the file over as it comes; returns the form as `schema`, with the file's name for the file.

        Raises InvalidRequestError, also over the schema, and whatever `write` raises.
        """
        form = _Form(_boundary(request))
        try:
            async with asyncio.timeout(self._seconds) as patience:
                await self._receive(request, form, write, patience)
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise RequestTimeoutError(
                f"Less than {_PIECE_BYTES} bytes of the form arrived within {self._seconds:g} seconds."
            ) from error
        if not form.has_ended:
            raise _invalid("it ends in the middle")
        found = parse(schema, _document(form.fields), strict=self._strict)
        return report_ignored(found, context_of(request.scope))

    async def _receive(self, request: Request, form: _Form, write: Write, patience: asyncio.Timeout) -> None:
        loop, num_bytes = asyncio.get_running_loop(), 0
        async for data in request.stream():
            form.feed(data)
            num_bytes += len(data)
            if form.num_pending >= _PIECE_BYTES:
                await write(form.taken())
            if num_bytes >= _PIECE_BYTES:
                num_bytes = 0
                patience.reschedule(loop.time() + self._seconds)
        if form.num_pending:
            await write(form.taken())


def _boundary(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedEncodingError(f"A form in the content encoding '{encoding[:100]}' is not read.")
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _MAX_BOUNDARY:
        message = "The body must be a form of the content type 'multipart/form-data', with its boundary."
        raise InvalidRequestError(message, code="invalid_form")
    return boundary


def _document(fields: dict[str, str]) -> bytes:
    """Write the fields as JSON; `name[member]` is a member of an object, and what is a number is one."""
    document: dict[str, object] = {}
    for written, value in fields.items():
        name, bracket, member = written.partition("[")
        read: object = int(value) if _NUMBER.fullmatch(value) else value
        if not bracket:
            document[name] = value
            continue
        members = document.setdefault(name, {})
        if not isinstance(members, dict):
            raise InvalidValueError(name[:80], "is a text and an object in one form")
        members[member.removesuffix("]")] = read
    return msgspec.json.encode(document)


def _invalid(complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"The form is not valid: {complaint}.", code="invalid_form")
