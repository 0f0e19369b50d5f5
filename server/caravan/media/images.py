"""Files of images into pixels, bounded before anything is decoded. Runs in the encoder's process."""

import contextlib
import io
import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from caravan.media.values import MediaRefusedError

if TYPE_CHECKING:
    from PIL.Image import Image

# What browsers send. Pillow knows many more, and each is code that reads what strangers have made.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_WHAT = "PNG, JPEG, WebP, GIF and BMP"
# Beyond this, libmtmd would make an image of one row that is as long as it likes. Qwen's own limit.
_MOST_ELONGATED = 200
# No projector looks at more; what is larger is made smaller here, by whole numbers, since all that follows
# holds several copies.
_MOST_KEPT = 16_000_000
# Of a progressive JPEG: usual ones have a dozen. One of a few bytes takes as long as one that changes all.
_MOST_SCANS = 64
# What begins a segment; in between, a byte of 255 has one of these behind it.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END, _SCAN = 0xD9, 0xDA
_WITHOUT_LENGTH = (0x01, 0xD8)
# OpenAI's `low`.
_LOW_SIDE = 512
_WHITE = (255, 255, 255)


def pixels_of(data: bytes, *, max_pixels: int, detail: str = "auto") -> NDArray[np.uint8]:
    """The first frame of a file, upright, as RGB [height, width, 3]; what is transparent is white.

    Raises MediaRefusedError.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise MediaRefusedError("is empty")
    # The size is looked at below, before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(*image.size, max_pixels)
            if image.format in ("JPEG", "MPO"):
                _check_scans(data)
            return _upright(image, detail)
    except MediaRefusedError:
        raise
    except MemoryError:
        raise MediaRefusedError("takes too much memory to be decoded") from None
    except UnidentifiedImageError:
        raise MediaRefusedError(f"is {_kind(data)}; {_WHAT} can be read") from None
    except Exception as error:
        # Decoders answer broken files with errors of all kinds.
        raise MediaRefusedError(f"is broken: {_line(error)}") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    size = f"is of {width} x {height} pixels"
    if width < 1 or height < 1:
        raise MediaRefusedError(f"{size}, so there is nothing to see")
    if width * height > max_pixels:
        raise MediaRefusedError(f"{size}; at most {max_pixels} are read")
    if max(width, height) > _MOST_ELONGATED * min(width, height):
        raise MediaRefusedError(f"{size}; one side may be at most {_MOST_ELONGATED} times the other")


def _check_scans(data: bytes) -> None:
    place = num_scans = 0
    while found := _MARKER.search(data, place):
        marker, place = found.group()[1], found.end()
        if marker == _END:
            # Telephones put films behind it.
            return
        num_scans += marker == _SCAN
        if num_scans > _MOST_SCANS:
            raise MediaRefusedError(f"is drawn over itself more than {_MOST_SCANS} times")
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")


def _upright(image: "Image", detail: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    image.load()
    factor = 1
    while image.width * image.height > _MOST_KEPT * factor * factor:
        factor += 1
    plain = _rgb(image)
    if factor > 1:
        plain = plain.reduce(factor)
    # Its own words on how it is to be held may be broken, where the image is not.
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(0x0112, 1)
        if orientation in range(2, 9):
            plain.getexif()[0x0112] = orientation
            plain = ImageOps.exif_transpose(plain)
    if detail == "low":
        plain.thumbnail((_LOW_SIDE, _LOW_SIDE), Image.Resampling.BICUBIC)
    return np.asarray(plain, dtype=np.uint8)


def _rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # 16 bits of grey, which Pillow would cut off at 255.
        values = np.asarray(image).astype(np.int64)
        grey = (values >> 8 if image.mode != "I" or values.max(initial=0) > 255 else values).clip(0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        seen = image.convert("RGBA")
        plain = Image.new("RGB", seen.size, _WHITE)
        plain.paste(seen, mask=seen.getchannel("A"))
        return plain
    return image.convert("RGB")


def _kind(data: bytes) -> str:
    """What a file that is no image we read may be, for the message."""
    start = data[:512].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype")) or b"<svg" in start:
        return "an SVG or another text"
    if start.startswith(b"%pdf"):
        return "a PDF"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "a HEIC or AVIF"
    return "no image that is known here"


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
