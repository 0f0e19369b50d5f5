"""Lone halves of surrogate pairs in bodies, by clients that cut texts between the two.

They are no characters, so no reader of UTF-8 lets them pass. JavaScript writes them as escapes, and Python,
if told to, as three bytes.
"""

import re
from collections.abc import Iterator, Sequence

from pydantic_core import from_json

from caravan.api.validation.faults import joined

_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)
_RAW = re.compile(
    rb"(?P<pair>\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])|\xed[\xa0-\xbf][\x80-\xbf]"
)
# To look for them alone is a hundred times faster than to walk from escape to escape.
_TRACE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_REPLACEMENT = "\ufffd".encode()
# A character that stands for nothing, to find the places again.
_MARK = "\ufdd0"
# A head has room for some; who cuts more texts than this knows.
_MAX_PLACES = 32


def replaced(body: bytes) -> bytes | None:
    """Put U+FFFD in the place of each half; None if the body has none."""
    if not _TRACE.search(body):
        return None
    mended = _replace(body, _REPLACEMENT)
    return None if mended == body else mended


def places(body: bytes) -> tuple[str, ...]:
    """Find where a valid body has halves, as `messages[0].content`. Names of fields count, too."""
    document = from_json(_replace(body, _MARK.encode()))
    found = dict.fromkeys(joined(steps).replace(_MARK, "\ufffd") for steps in _marked(document, ()))
    return tuple(found)[:_MAX_PLACES]


def _replace(body: bytes, replacement: bytes) -> bytes:
    def escape(match: re.Match[bytes]) -> bytes:
        return replacement if match["lone"] else match[0]

    def raw(match: re.Match[bytes]) -> bytes:
        if not match["pair"]:
            return replacement
        return (
            match[0]
            .decode("utf-8", "surrogatepass")
            .encode("utf-16", "surrogatepass")
            .decode("utf-16")
            .encode()
        )

    return _ESCAPE.sub(escape, _RAW.sub(raw, body))


def _marked(value: object, steps: Sequence[int | str]) -> Iterator[Sequence[int | str]]:
    if isinstance(value, str):
        if _MARK in value:
            yield steps
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, (*steps, index))
    elif isinstance(value, dict):
        for name, member in value.items():
            if _MARK in name:
                yield (*steps, name)
            yield from _marked(member, (*steps, name))
