"""A number of bytes from a socket, however they come."""

import socket


def read_exactly(connection: socket.socket, size: int) -> bytearray | None:
    """Wait for so many bytes; None when the other side is gone. Raises OSError."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if count == 0:
            return None
        done += count
    return data
