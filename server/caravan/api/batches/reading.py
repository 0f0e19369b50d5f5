"""An input file, line by line: where each request stands, and what is wrong with it."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from caravan_schemas.base import Schema
from caravan_schemas.batches import Endpoint
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.common import ModelFields, PriorityFields
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.responses import ResponseRequest

from caravan.api.batches.values import Line
from caravan.api.validation.parse import parse
from caravan.errors import InvalidRequestError, UnsupportedParameterError

MAX_LINES = 50_000
MAX_FAULTS = 100
_MAX_ID = 512
_CHUNK_LINES = 128
_CHUNK_BYTES = 1_048_576
_FIELDS = {"custom_id", "method", "url", "body"}
# What a prompt begins with, in the order in which a template is likely to have it.
_BEGINNINGS = ("model", "instructions", "tools", "messages", "prompt", "input")
# Lines that are alike for so many characters come together, and of these those that are alike for more.
_LENGTHS = (256, 1024, 4096, 16384)
_DIGEST_BYTES = 6
_SCHEMAS: dict[Endpoint, type[ModelFields]] = {
    "/v1/chat/completions": ChatCompletionRequest,
    "/v1/completions": CompletionRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/v1/responses": ResponseRequest,
}
# What a line may not ask for, since nobody reads along or comes back for it.
_APART = ("stream", "background")


class _LineError(Exception):
    """What is wrong with a line."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass
class Chunk:
    """The next lines of a file, what is wrong with others, and each model by the first line with it."""

    lines: list[Line] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    models: dict[str, int] = field(default_factory=dict)
    is_last: bool = False


class InputReader:
    """Reads a file chunk by chunk, each in a thread; `close` must follow. Raises OSError."""

    def __init__(self, path: Path, endpoint: Endpoint, max_bytes: int) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._endpoint = endpoint
        self._max_bytes = max_bytes
        self._ids: set[str] = set()
        self._number = 0
        self._start = 0
        self.num_lines = 0

    def next_chunk(self) -> Chunk:
        """Read the next lines, some milliseconds' worth of them."""
        file = self._file = self._file or self._path.open("rb")
        chunk, begun = Chunk(), self._start
        while len(chunk.lines) + len(chunk.faults) < _CHUNK_LINES and self._start - begun < _CHUNK_BYTES:
            text = file.readline(self._max_bytes + 2)
            if not text:
                chunk.is_last = True
                break
            self._number += 1
            start, self._start = self._start, self._start + len(text)
            if not text.strip():
                continue
            try:
                self._take(text, start, chunk)
            except _LineError as error:
                chunk.faults.append(fault(error.code, str(error), self._number, error.param))
                if error.code in ("too_many_tasks", "line_too_long"):
                    chunk.is_last = True
                    break
        return chunk

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _take(self, text: bytes, start: int, chunk: Chunk) -> None:
        if len(text) > self._max_bytes and not text.endswith(b"\n"):
            raise _LineError("line_too_long", f"The line is longer than {self._max_bytes} bytes.")
        if self.num_lines >= MAX_LINES:
            raise _LineError("too_many_tasks", f"The file has more than {MAX_LINES} requests.")
        self.num_lines += 1
        custom_id, body = self._parts(text)
        try:
            request = read_request(self._endpoint, body)
        except InvalidRequestError as error:
            param = "body" if error.param is None else f"body.{error.param}"
            raise _LineError(error.code, error.message, param) from error
        chunk.models.setdefault(request.model, self._number)
        line = Line(
            position=self.num_lines, custom_id=custom_id, start=start, length=len(text), turn=_turn(body)
        )
        chunk.lines.append(line)

    def _parts(self, text: bytes) -> tuple[str, bytes]:
        document = _object(text)
        for name in ("custom_id", "method", "url", "body"):
            if name not in document:
                raise _LineError("missing_required_parameter", f"'{name}' is required.", name)
        if unknown := min(document.keys() - _FIELDS, default=None):
            message = f"'{unknown[:80]}' is no field of a line: {', '.join(sorted(_FIELDS))} are."
            raise _LineError("unknown_parameter", message, unknown[:80])
        custom_id = self._custom_id(document["custom_id"])
        if _text(document["method"]) != "POST":
            raise _LineError("invalid_value", "'method' must be 'POST'.", "method")
        if _text(document["url"]) != self._endpoint:
            message = f"'url' must be '{self._endpoint}', the batch's endpoint."
            raise _LineError("url_mismatch", message, "url")
        return custom_id, bytes(document["body"])

    def _custom_id(self, raw: msgspec.Raw) -> str:
        custom_id = _text(raw)
        if custom_id is None or not 0 < len(custom_id) <= _MAX_ID:
            message = f"'custom_id' must be a string of 1 to {_MAX_ID} characters."
            raise _LineError("invalid_value", message, "custom_id")
        if custom_id in self._ids:
            message = f"The custom_id '{custom_id[:80]}' is another line's already."
            raise _LineError("duplicate_custom_id", message, "custom_id")
        self._ids.add(custom_id)
        return custom_id


def body_of(text: bytes) -> bytes:
    """Return the request of a line that has been read before."""
    return bytes(_object(text)["body"])


def read_request(endpoint: Endpoint, body: bytes) -> ModelFields:
    """Read the request of a line as its route does. Raises InvalidRequestError, also over unknown fields.

    There is no head of an answer in which fields without effect could be told.
    """
    request = parse(_SCHEMAS[endpoint], body, strict=True).request
    _check(request)
    return request


def fault(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    """Write what is wrong with an input file, as OpenAI does."""
    return {"code": code, "line": line, "message": message, "param": param}


def _check(request: Schema) -> None:
    for name in _APART:
        if getattr(request, name, None):
            message = f"'{name}' has no place in a batch: its answers are read when it has ended."
            raise UnsupportedParameterError(message, param=name)
    if isinstance(request, PriorityFields) and request.priority:
        message = "'priority' has no place in a batch: its lines come after all other requests."
        raise UnsupportedParameterError(message, param="priority")


def _object(text: bytes) -> Mapping[str, msgspec.Raw]:
    try:
        # Programs on Windows begin files with a mark.
        return msgspec.json.decode(text.removeprefix(BOM_UTF8), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The line is not a JSON object: {error}."
        raise _LineError("invalid_json_line", message) from error


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _turn(body: bytes) -> bytes:
    """Make what lines are sorted by, so that those whose prompts begin alike come together.

    The route's reader has found nothing wrong with the body.
    """
    document = _object(body)
    beginning = b"\n".join(bytes(document[name]) for name in _BEGINNINGS if name in document)
    return b"".join(
        hashlib.blake2b(beginning[:length], digest_size=_DIGEST_BYTES).digest() for length in _LENGTHS
    )
