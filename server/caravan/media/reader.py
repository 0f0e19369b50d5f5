"""Images and sounds of a request: taken out of it, which has them as data URLs, or fetched, and given to the
model's encoder.
"""

import asyncio
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from caravan.auth.principal import Principal
from caravan.errors import EngineFailedError, InvalidValueError, OverloadedError
from caravan.media.fetching import ImageFetcher
from caravan.media.values import (
    EncodedMedia,
    Kind,
    MediaBusyError,
    MediaEncoder,
    MediaFailedError,
    MediaInput,
    MediaRefusedError,
)
from caravan.runtime.threads import cancel_and_wait, in_thread, to_the_end

# Types that some clients write over any file; what it is, its decoder finds out.
_ANY = ("", "application/octet-stream", "binary/octet-stream")
_HOW = "send the image itself, as a data URL such as 'data:image/png;base64,...'"
_LONGEST_SHOWN = 60
# A millisecond of decoding.
_SLICE = 1 << 18

# Of one request: more would only wait for each other in the encoder, with their bytes in memory.
_AT_ONCE = 4
_RETRY_SECONDS = 5


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


@dataclass(frozen=True, kw_only=True)
class MediaSource:
    """Where one input is: the URL of an image, or a sound in Base64. Errors call it `param`."""

    kind: Kind
    source: str
    detail: Literal["auto", "low", "high"] = "auto"
    param: str


class MediaReader:
    """Reads the inputs of all requests; each may have `max_bytes` bytes."""

    def __init__(self, fetcher: ImageFetcher, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._max_bytes = max_bytes

    async def read(
        self,
        sources: Sequence[MediaSource],
        encoder: MediaEncoder,
        principal: Principal,
        check: Callable[[int], None] = lambda _: None,
    ) -> list[EncodedMedia]:
        """Encode all inputs, each held for the caller. Raises CaravanError over the first that fails.

        `check` is told how many tokens all have so far; where it raises, no more are encoded.
        """
        places = asyncio.Semaphore(_AT_ONCE)
        num_tokens = 0

        async def one(source: MediaSource) -> EncodedMedia:
            nonlocal num_tokens
            async with places:
                media = await self._encoded(source, encoder, principal)
            num_tokens += media.num_tokens
            try:
                check(num_tokens)
            except BaseException:
                media.release()
                raise
            return media

        tasks = [asyncio.create_task(one(source)) for source in sources]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            await to_the_end(_given_up(tasks))
            raise

    async def _encoded(
        self, source: MediaSource, encoder: MediaEncoder, principal: Principal
    ) -> EncodedMedia:
        param = source.param
        try:
            data = await self._data(source, principal)
            media = MediaInput(kind=source.kind, data=data, detail=source.detail)
            return await encoder.read(
                media,
                group=principal.cache_group,
                param=param,
                owner=principal.id,
                weight=principal.weight,
            )
        except MediaRefusedError as error:
            raise InvalidValueError(param, str(error).rstrip(".")) from error
        except MediaBusyError as error:
            message = f"Too many images wait to be read at the moment: {error}".rstrip(": ")
            raise OverloadedError(message, param=param, retry_after=_RETRY_SECONDS) from error
        except MediaFailedError as error:
            raise EngineFailedError(f"'{param}' could not be read: {error}.", param=param) from error

    async def _data(self, source: MediaSource, principal: Principal) -> bytes:
        if source.kind == "audio":
            return await in_thread(decoded, source.source, self._max_bytes)
        if source.source[:8].lower().startswith(("http://", "https://")):
            return await self._fetcher.fetch(source.source, self._max_bytes, principal)
        return await in_thread(data_of_url, source.source, self._max_bytes)


async def _given_up(tasks: Sequence[asyncio.Task[EncodedMedia]]) -> None:
    """End what still runs, and release what is there already."""
    # All at once: those that still run must not let others begin.
    for task in tasks:
        task.cancel()
    for task in tasks:
        await cancel_and_wait(task)
    for task in tasks:
        if not task.cancelled() and task.exception() is None:
            task.result().release()
