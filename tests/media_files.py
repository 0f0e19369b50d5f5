"""Files of images and sounds for tests, sound and hostile ones, made on the spot."""

import io
import struct
import wave
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'


def picture(seed: int = 0, height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """Random pixels, in blocks that are seen after scaling, too."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)[:height, :width]


def image_file(
    image: Image.Image | NDArray[np.uint8] | int = 0, kind: str = "PNG", **options: object
) -> bytes:
    """A file of an image, of pixels, or of the `picture` of a seed."""
    if isinstance(image, int):
        image = picture(image)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sound_file(seconds: float = 0.5, rate: int = 16_000, seed: int = 0) -> bytes:
    """A WAV file of noise."""
    values = np.random.default_rng(seed).integers(-9_000, 9_000, int(seconds * rate), np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(values.tobytes())
    return file.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width: int, height: int) -> bytes:
    """A small file that is a huge image, all black."""
    packed = zlib.compressobj(1)
    row = bytes(1 + width * 3)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", data), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def animated() -> bytes:
    """A GIF whose first frame is red and whose second one is blue."""
    red, blue = (Image.new("RGB", (24, 24), colour) for colour in ("red", "blue"))
    return image_file(red, "GIF", save_all=True, append_images=[blue], duration=100)


def turned() -> bytes:
    """A JPEG that lies on its side, and says so: upright it is 24 x 48, red above and blue below."""
    pixels = np.zeros((24, 48, 3), np.uint8)
    pixels[:, :24] = 0, 0, 255
    pixels[:, 24:] = 255, 0, 0
    exif = Image.Exif()
    # 8: the top of the image is at its right side.
    exif[0x0112] = 8
    return image_file(pixels, "JPEG", quality=95, exif=exif.tobytes())


@dataclass(frozen=True)
class Hostile:
    """An input that is not as it should be; `reason` is in the refusal, or None where it can be read."""

    name: str
    make: Callable[[], bytes]
    reason: str | None


HOSTILE = (
    Hostile("a bomb", lambda: png_bomb(12_000, 12_000), "12000 x 12000"),
    Hostile("a bomb of text", lambda: _text_bomb(), "too large"),
    Hostile("cut off", lambda: image_file(0)[:200], "broken"),
    Hostile("half a JPEG", lambda: _half(image_file(0, "JPEG")), "broken"),
    Hostile("no image", lambda: b"GARBAGE " * 100, "no image"),
    Hostile("one row", lambda: image_file(Image.new("L", (50_000, 1))), "200 times"),
    Hostile("animated", animated, None),
    Hostile("CMYK", lambda: image_file(Image.new("CMYK", (24, 24), (0, 255, 255, 0)), "JPEG"), None),
    Hostile("16 bit", lambda: _deep(), None),
    Hostile("on its side", turned, None),
    Hostile("empty", lambda: b"", "empty"),
    Hostile("SVG", lambda: SVG, "SVG"),
    Hostile("a PDF", lambda: b"%PDF-1.7\n" + bytes(500), "PDF"),
    Hostile("TIFF", lambda: image_file(0, "TIFF"), "no image"),
    Hostile("broken in the middle", lambda: _flipped(image_file(0)), "broken"),
    Hostile("one pixel", lambda: image_file(Image.new("RGB", (1, 1), "red")), None),
    Hostile("a palette with holes", lambda: _holes(), None),
)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    place = data.index(b"IDAT") + 12
    return data[:place] + bytes(40) + data[place + 40 :]


def _deep() -> bytes:
    return image_file(Image.fromarray(np.full((24, 24), 0x8000, np.uint16)))


def _holes() -> bytes:
    image = Image.new("P", (24, 24), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    return image_file(image, "PNG", transparency=0)


def _text_bomb() -> bytes:
    """A good image with a comment of 60 MB, packed, behind it."""
    data = image_file(0)
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(60_000_000), 9))
    end = data.index(b"IEND") - 4
    return data[:end] + bomb + data[end:]
