"""Requests whose bytes two programs on a way could cut differently.

Each of `FRAMINGS` is to be sent with `HIDDEN` after it: a request that would be served if the first one were
thought to end there.
"""

import json

from tests.web.uvicorn.raw import head

TEXT = "/v1/completions"
BODY = json.dumps({"model": "fake", "prompt": "Hi"}).encode()
# What would be served if the first request were thought to end before it.
HIDDEN = head(TEXT, f"content-length: {len(BODY)}") + BODY
CHUNKED = "transfer-encoding: chunked"
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
END = b"0\r\n\r\n"


def post(*fields: str) -> bytes:
    return head(TEXT, *fields)


def chunked(first_line: bytes) -> bytes:
    """A body whose only chunk begins with this line, line end included."""
    return post(CHUNKED) + first_line + BODY + b"\r\n" + END


FRAMINGS = {
    "a length and chunks": post(f"content-length: {len(CHUNK + END)}", CHUNKED) + CHUNK + END,
    "chunks and a length": post(CHUNKED, "content-length: 0") + CHUNK + END,
    "two lengths": post("content-length: 0", f"content-length: {len(BODY)}") + BODY,
    "a list of two lengths": post(f"content-length: 0, {len(BODY)}") + BODY,
    "a length with a sign": post(f"content-length: +{len(BODY)}") + BODY,
    "a negative length": post("content-length: -1") + BODY,
    "a hexadecimal length": post("content-length: 0x10") + BODY,
    "a length of digits of elsewhere": post("content-length: ١") + BODY,
    "a length with an underscore": post("content-length: 1_0") + BODY,
    "no length": post("content-length: ") + BODY,
    "a length of many digits": post("content-length: " + "9" * 5000) + BODY,
    "chunked twice": post(CHUNKED, CHUNKED) + CHUNK + END,
    "a list of chunked twice": post("transfer-encoding: chunked, chunked") + CHUNK + END,
    "chunked, then not": post("transfer-encoding: chunked, identity") + CHUNK + END,
    "an unknown encoding": post("transfer-encoding: xchunked") + CHUNK + END,
    "an encoding with a vertical tab": post("transfer-encoding: \x0bchunked") + CHUNK + END,
    "chunked in HTTP/1.0": post(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNK + END,
    "space before a colon": post("transfer-encoding : chunked") + CHUNK + END,
    "a tab before a colon": post(f"content-length\t: {len(BODY)}") + BODY,
    "a name with a space": post("content length: 1") + BODY,
    "a folded encoding": post("transfer-encoding:\r\n chunked") + CHUNK + END,
    "a folded field": post("x-long: a\r\n\tcontent-length: 5", f"content-length: {len(BODY)}") + BODY,
    "a fold at the start": post(" x: y", f"content-length: {len(BODY)}") + BODY,
    "a line feed alone": post(f"x: y\n{CHUNKED}") + CHUNK + END,
    "line feeds alone": post(f"content-length: {len(BODY)}").replace(b"\r\n", b"\n") + BODY,
    "a blank line of a line feed": post(f"content-length: {len(BODY)}")[:-2] + b"\n" + BODY,
    "a carriage return alone": post(f"x: y\rcontent-length: {len(BODY)}") + BODY,
    "a carriage return too many": post("x: y\r", f"content-length: {len(BODY)}") + BODY,
    "a null in a field": post("x: a\x00b", f"content-length: {len(BODY)}") + BODY,
    "two hosts": post("host: localhost", f"content-length: {len(BODY)}") + BODY,
    "a chunk of 0x": chunked(b"0x%x\r\n" % len(BODY)),
    "a chunk with a sign": chunked(b"+%x\r\n" % len(BODY)),
    "a negative chunk": chunked(b"-1\r\n"),
    "a chunk after a space": chunked(b" %x\r\n" % len(BODY)),
    "a chunk with an underscore": chunked(b"0_%x\r\n" % len(BODY)),
    "a chunk without a size": chunked(b"\r\n"),
    "a chunk of very many digits": chunked(b"%050x\r\n" % len(BODY)),
    "a chunk longer than it says": post(CHUNKED) + b"1\r\n" + BODY + b"\r\n" + END,
    "a chunk with a line feed": chunked(b"%x\n" % len(BODY)),
    "an extension with a line feed": chunked(b"%x;a\n\r\n" % len(BODY)),
    "an extension with a carriage return": chunked(b"%x;a\rb\r\n" % len(BODY)),
    "a huge extension": chunked(b"%x;%b\r\n" % (len(BODY), b"x" * 10_000)),
    "a huge extension without an end": post(CHUNKED) + b"1;" + b"x" * 10_000,
    "a folded trailer": post(CHUNKED) + CHUNK + b"0\r\nx: y\r\n z\r\n\r\n",
    "a trailer with a line feed": post(CHUNKED) + CHUNK + b"0\r\nx: y\n\r\n",
    "another version": post(f"content-length: {len(BODY)}").replace(b"HTTP/1.1", b"HTTP/2.0") + BODY,
    "no version": b"GET /v1/models\r\n\r\n",
    "the beginning of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
