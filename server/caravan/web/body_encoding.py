"""Bodies as they come over the wire, into the bytes of a document: unpacked, within a limit."""

import zlib

from caravan.errors import InvalidRequestError, RequestTooLargeError, UnsupportedEncodingError
from caravan.web.error_response import ACCEPTED_ENCODINGS

_GZIP = 16 + zlib.MAX_WBITS


def decoded_body(body: bytes, encoding: str, limit: int) -> bytes:
    """Unpack a body whose `Content-Encoding` is `encoding`; never more than `limit` bytes are made.

    Raises InvalidRequestError.
    """
    name = encoding.strip().lower()
    if name in ("gzip", "x-gzip"):
        body = _inflated(body, _GZIP, name, limit)
    elif name == "deflate":
        # The header of zlib is part of it, and some clients leave it out.
        is_bare = body[:1] and (body[0] & 15 != zlib.DEFLATED or int.from_bytes(body[:2]) % 31)
        body = _inflated(body, -zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS, name, limit)
    elif name not in ("", "identity"):
        raise UnsupportedEncodingError(
            f"The content encoding '{encoding[:100]}' is not supported; "
            f"'{ACCEPTED_ENCODINGS}' is, and so is none.",
        )
    return body


def _inflated(body: bytes, window: int, name: str, limit: int) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        message = f"The body is not valid {name}: {error}."
        raise InvalidRequestError(message, code="invalid_content_encoding") from error
    if len(plain) > limit:
        raise RequestTooLargeError(f"The body is larger than {limit} bytes when it is unpacked.")
    if not stream.eof or stream.unused_data:
        message = f"The body is not one whole stream of {name}."
        raise InvalidRequestError(message, code="invalid_content_encoding")
    return plain
