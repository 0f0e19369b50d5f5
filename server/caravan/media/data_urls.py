"""Images and sounds that are in the request itself, in Base64, and nothing else that a URL may name."""

import binascii

from caravan.media.values import MediaRefusedError

# Types that some clients write over any file; what it is, its decoder finds out.
_ANY = ("", "application/octet-stream", "binary/octet-stream")
_HOW = "send the image itself, as a data URL such as 'data:image/png;base64,...'"
_LONGEST_SHOWN = 60
# A millisecond of decoding.
_SLICE = 1 << 18


def data_of_url(url: str, max_bytes: int) -> bytes:
    """Read the image in a data URL. Raises MediaRefusedError over all other URLs, and over paths."""
    scheme, colon, _ = url[:64].partition(":")
    if not colon or scheme.lower() != "data":
        raise MediaRefusedError(f"is no data URL: {_HOW}")
    head, comma, _ = url[len(scheme) + 1 :][:256].partition(",")
    if not comma:
        raise MediaRefusedError(f"is a data URL without data: {_HOW}")
    media_type, *options = (part.strip().lower() for part in head.split(";"))
    if "base64" not in options:
        raise MediaRefusedError(f"is a data URL that is not in Base64: {_HOW}")
    if media_type not in _ANY and not media_type.startswith("image/"):
        raise MediaRefusedError(f"has the type '{media_type[:_LONGEST_SHOWN]}', which is no image")
    if media_type.startswith("image/svg"):
        raise MediaRefusedError("is an SVG, which is a drawing and no image: send it as a PNG")
    return decoded(url[len(scheme) + 1 + len(head) + 1 :], max_bytes)


def decoded(text: str, max_bytes: int) -> bytes:
    """Decode Base64. Raises MediaRefusedError over what is none, and over more than `max_bytes` bytes."""
    # Ends of lines are a few of a hundred.
    if len(text) * 3 // 4 > max_bytes + max_bytes // 16 + 2:
        raise MediaRefusedError(f"has more than {max_bytes} bytes")
    try:
        data = _bytes_of(text)
    except ValueError as error:
        reason = "it has other characters" if not text.isascii() else str(error)
        raise MediaRefusedError(f"is not valid Base64: {reason[0].lower()}{reason[1:]}") from error
    if not data:
        raise MediaRefusedError("is empty")
    if len(data) > max_bytes:
        raise MediaRefusedError(f"has more than {max_bytes} bytes")
    return data


def _bytes_of(text: str) -> bytes:
    """Decode in slices: one call keeps the interpreter's lock to its end, and the event loop waits for it."""
    pieces, rest, has_ended = [], b"", False
    for start in range(0, len(text), _SLICE):
        # Many write it in lines, as mail has it.
        rest += text[start : start + _SLICE].encode("ascii").translate(None, b"\r\n")
        count = len(rest) // 4 * 4
        if has_ended and rest:
            raise binascii.Error("Excess data after padding")
        pieces.append(binascii.a2b_base64(rest[:count], strict_mode=True))
        has_ended, rest = has_ended or rest[:count].endswith(b"="), rest[count:]
    # Less than a whole group is none, which is for the decoder to say.
    pieces.append(binascii.a2b_base64(rest, strict_mode=True))
    return b"".join(pieces)
