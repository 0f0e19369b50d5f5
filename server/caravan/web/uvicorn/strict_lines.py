"""Lines of heads and of chunks, held to the letter of RFC 9112.

What another program on the way could read otherwise is refused, even where the standard lets it pass: two
readings of one stream are how a request is hidden inside of another.
"""

import h11

# It is h11's own part, whose versions are pinned; test_smuggling.py holds it to what is said here.
from h11._receivebuffer import ReceiveBuffer

# Sizes of chunks have a few digits; extensions, which nobody uses, cost time for each chunk.
_LONGEST_CHUNK_LINE = 256
_LINE_END = b"\r\n"


class StrictLines(ReceiveBuffer):
    """h11's buffer of what has come, without its leniency. Raises RemoteProtocolError."""

    def maybe_extract_next_line(self) -> bytearray | None:
        """The line that begins a chunk, if it is whole."""
        line = super().maybe_extract_next_line()
        seen = self if line is None else line
        if len(seen) > _LONGEST_CHUNK_LINE:
            raise h11.RemoteProtocolError("the line before a chunk is too long")
        if line is not None and b"\r" in line[: -len(_LINE_END)]:
            raise h11.RemoteProtocolError("a carriage return alone ends no line")
        return line

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head, or of what follows the last chunk, if they are whole."""
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
