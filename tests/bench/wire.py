"""HTTP/1.1 answers and server-sent events, read cheaply: the clients share the servers' processors."""

import re

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class ResponseReader:
    """One answer on a connection; `feed` takes what arrives and returns the part of the body in it."""

    def __init__(self) -> None:
        self.status = 0
        self.complete = False
        self.closes = False
        self._head = b""
        self._is_chunked = False
        self._left: int | None = None
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Raises ValueError on what is not HTTP."""
        if not self.status:
            data = self._read_head(data)
        if not self.status or not data:
            return b""
        return self._read_chunks(data) if self._is_chunked else self._read_plain(data)

    def end(self) -> None:
        """The connection was closed: that ends a body without a length."""
        if self.status and not self._is_chunked and self._left is None:
            self.complete = True

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        head, separator, rest = self._head.partition(_HEAD_END)
        if not separator:
            return b""
        status = _STATUS.match(head)
        if status is None:
            raise ValueError(f"not an HTTP answer: {head[:80]!r}")
        self.status = int(status[1])
        self.closes = _CLOSE.search(head) is not None
        self._is_chunked = _CHUNKED.search(head) is not None
        length = _LENGTH.search(head)
        if length is not None:
            self._left = int(length[1])
            self.complete = self._left == 0
        return rest

    def _read_plain(self, data: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(data)
            self.complete = self._left <= 0
        return data

    def _read_chunks(self, data: bytes) -> bytes:
        """Chunks that are whole; the beginning of another waits for its rest."""
        data = self._rest + data
        body = []
        start = 0
        while (line_end := data.find(b"\r\n", start)) >= 0:
            size = int(data[start:line_end], 16)
            end = line_end + 2 + size + 2
            if len(data) < end:
                break
            start = end
            if size == 0:
                self.complete = True
                break
            body.append(data[line_end + 2 : end - 2])
        self._rest = data[start:]
        return b"".join(body)


class EventReader:
    """Server-sent events out of a body that comes in pieces; comments are passed over."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, body: bytes) -> list[bytes]:
        """The data of the events that are complete now."""
        *events, self._rest = (self._rest + body).replace(b"\r\n", b"\n").split(b"\n\n")
        return [event[event.index(b":") + 1 :].strip() for event in events if event.startswith(b"data:")]
