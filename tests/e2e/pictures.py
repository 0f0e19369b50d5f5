"""Pictures for models that see, as files and as what requests have of them."""

import base64
import io

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 32), form: str = "PNG") -> bytes:
    """A picture that looks like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form)
    return written.getvalue()


def url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def part(data: bytes, **others: str) -> dict[str, object]:
    """A part of a chat."""
    return {"type": "image_url", "image_url": {"url": url(data), **others}}


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def asked(*parts: object) -> list[dict[str, object]]:
    """A conversation of one message."""
    return [{"role": "user", "content": list(parts)}]
