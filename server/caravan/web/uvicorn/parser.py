"""Requests as h11 reads them, and stricter: what another program on the way could read otherwise is refused.

Two readings of one stream are how a request is hidden inside of another. Also tells what is too much.
"""

import re

import h11

# A private part of h11, which is pinned to the version that tests/web/uvicorn/test_smuggling.py was run with.
from h11._receivebuffer import ReceiveBuffer

# Clients have some twenty; each costs time in every layer above.
MAX_HEADERS = 256
# Sizes of chunks have a few digits; extensions, which nobody uses, cost time for each chunk.
_LONGEST_CHUNK_LINE = 256
_LINE_END = b"\r\n"
_EVENTS = b"text/event-stream"
_SHOWN_BYTES = re.compile(r""":? (bytearray\()?b['"].*""", re.DOTALL)
_SCHEMES = (b"http://", b"https://")


class _StrictBuffer(ReceiveBuffer):
    """h11's buffer of what has come, its lines held to the letter of RFC 9112. Raises RemoteProtocolError."""

    def maybe_extract_next_line(self) -> bytearray | None:
        """Take the line that begins a chunk, if it is whole."""
        line = super().maybe_extract_next_line()
        seen = self if line is None else line
        if len(seen) > _LONGEST_CHUNK_LINE:
            raise h11.RemoteProtocolError("the line before a chunk is too long")
        if line is not None and b"\r" in line[: -len(_LINE_END)]:
            raise h11.RemoteProtocolError("a carriage return alone ends no line")
        return line

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Take the lines of a head, or of what follows the last chunk, if they are whole."""
        num_before = len(self)
        lines = super().maybe_extract_lines()
        if lines is None:
            return None
        num_expected = sum(len(line) + len(_LINE_END) for line in [*lines, b""])
        if num_before - len(self) != num_expected:
            raise h11.RemoteProtocolError("a line feed alone ends no line")
        if any(line.startswith((b" ", b"\t")) for line in lines):
            raise h11.RemoteProtocolError("a header field may not be folded")
        return lines


class Parser(h11.Connection):
    """h11's connection, which limits heads that come at once, too; h11 limits only what is incomplete."""

    def __init__(self, max_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_head_bytes)
        self._receive_buffer = _StrictBuffer()
        self._max_head_bytes = max_head_bytes
        self._sends_events = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Read on (h11's protocol). Raises RemoteProtocolError, with 431 for a large head."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
            if size > self._max_head_bytes or len(event.headers) > MAX_HEADERS:
                raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)
            _check_framing(event)
            if event.target[:8].lower().startswith(_SCHEMES):
                return _in_origin_form(event)
        return event

    def send_with_data_passthrough(self, event: h11.Event) -> list[bytes] | None:
        """The bytes of a part of an answer (h11, whose `send` asks this)."""
        if isinstance(event, h11.Response):
            self._sends_events = any(value.startswith(_EVENTS) for _, value in event.headers)
            if self.client_is_waiting_for_100_continue:
                event = _last(event)
        return super().send_with_data_passthrough(event)

    def send_nothing(self) -> bytes | None:
        """The bytes of what every client skips, where such may be sent: an answer to come, or a comment."""
        if self.our_state is h11.SEND_RESPONSE and self.their_http_version == b"1.1":
            return self.send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
        if self.our_state is h11.SEND_BODY and self._sends_events:
            return self.send(h11.Data(data=b": are you there\n\n"))
        return None


def in_words(fault: h11.RemoteProtocolError) -> str:
    """Say what h11 found wrong, without the bytes, which it shows as Python writes them."""
    return _SHOWN_BYTES.sub("", str(fault))


def _check_framing(event: h11.Request) -> None:
    """Raise RemoteProtocolError over a body whose end is told in two ways, or in none of its version.

    RFC 9112, 6.1 lets a server go by one of them; which one, a proxy before it may have decided otherwise.
    """
    if not event.http_version.startswith(b"1."):
        raise h11.RemoteProtocolError("only HTTP/1.1 and 1.0 are spoken here", error_status_hint=505)
    names = {name for name, _ in event.headers}
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise h11.RemoteProtocolError("a request has a Content-Length or a Transfer-Encoding, not both")
        if event.http_version == b"1.0":
            raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding")


def _last(event: h11.Response) -> h11.Response:
    """The answer to a client that has asked whether to send its body, and is told no: none can follow.

    Whether the body comes all the same is its own choice, so nobody can tell where a next request begins.
    """
    headers = [(name, value) for name, value in event.headers if name != b"connection"]
    return h11.Response(
        status_code=event.status_code,
        headers=[*headers, (b"connection", b"close")],
        http_version=event.http_version,
        reason=event.reason,
    )


def _in_origin_form(event: h11.Request) -> h11.Request:
    """A request whose target is a whole address, as clients write it for proxies; its host is the one that
    counts (RFC 9112, 3.2.2).
    """
    host, _, path = event.target.partition(b"://")[2].partition(b"/")
    host, mark, query = host.partition(b"?")
    host = host.rpartition(b"@")[2]
    headers = [(name, host if name == b"host" else value) for name, value in event.headers]
    return h11.Request(
        method=event.method,
        headers=headers,
        target=b"/" + (mark + query if mark else path),
        http_version=event.http_version,
    )
