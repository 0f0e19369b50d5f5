"""What crosses the border between the server and a template's process: length, then JSON.

JSON has integers of any size, as arguments and schemas may have.
"""

import json
import socket
import struct
from typing import Any

# By which a process ends that nobody has asked anything for a while.
IDLE_STATUS = 75

_LENGTH = struct.Struct("<Q")


def send(connection: socket.socket, message: object) -> None:
    """Send a message whole. Raises OSError."""
    body = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> Any | None:  # noqa: ANN401 (whatever JSON holds)
    """The next message; None when the other side is gone. Raises OSError."""
    prefix = _read(connection, _LENGTH.size)
    if prefix is None:
        return None
    body = _read(connection, *_LENGTH.unpack(prefix))
    return None if body is None else json.loads(body)


def _read(connection: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if count == 0:
            return None
        done += count
    return data
