"""Images on their way to a replica: files in one machine's memory become files in another's."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from caravan.engine.params import GenerationRequest
from caravan.errors import MemoryShortError
from caravan.media.memory_files import MemoryFolder, remove
from caravan.ray_serve import wire
from caravan.runtime.threads import in_thread, to_the_end

# Where the machine has less memory that is a folder, files are on its disk.
_ROOM_BYTES = 512 << 20
_RETRY_SECONDS = 5

log = logging.getLogger(__name__)


async def packed(request: GenerationRequest) -> bytes:
    """Write a request for a replica."""
    if not request.media:
        return wire.encode(wire.Sent(request))
    return await in_thread(_packed, request)


class MediaFiles:
    """The files of a replica. The folder is made for the first image, and goes with `close`."""

    def __init__(self) -> None:
        self._folder: MemoryFolder | None = None

    @asynccontextmanager
    async def unpacked(self, data: bytes) -> AsyncGenerator[GenerationRequest, None]:
        """The request in `data`, whose files are there as long as the block runs, and `data` is not kept.

        Raises MemoryShortError.
        """
        sent = wire.sent(data)
        request, paths = sent.request, dict.fromkeys(sent.files, "")
        try:
            if paths:
                await self._write(sent, paths)
            del data, sent
            yield _moved(request, paths)
        finally:
            if paths:
                await to_the_end(in_thread(_remove, list(paths.values())))

    async def _write(self, sent: wire.Sent, paths: dict[str, str]) -> None:
        """Fill in `paths`, and write the files there."""
        try:
            self._folder = self._folder or MemoryFolder(_ROOM_BYTES)
            paths.update({path: self._folder.new_path() for path in paths})
            await in_thread(_write, {paths[path]: held for path, held in sent.files.items()})
        except OSError as error:
            log.error("images cannot be written for the engine: %s", error)
            message = "There is no room for the request's images on the engine's machine at the moment."
            raise MemoryShortError(message, retry_after=_RETRY_SECONDS) from error

    def close(self) -> None:
        """Remove all of them."""
        if self._folder is not None:
            self._folder.close()


def _packed(request: GenerationRequest) -> bytes:
    paths = dict.fromkeys(run.embeddings.path for run in request.media)
    return wire.encode(wire.Sent(request, {path: memoryview(Path(path).read_bytes()) for path in paths}))


def _moved(request: GenerationRequest, paths: dict[str, str]) -> GenerationRequest:
    media = tuple(
        msgspec.structs.replace(
            run, embeddings=msgspec.structs.replace(run.embeddings, path=paths[run.embeddings.path])
        )
        for run in request.media
    )
    return msgspec.structs.replace(request, media=media)


def _write(files: dict[str, memoryview]) -> None:
    for path, held in files.items():
        Path(path).write_bytes(held)


def _remove(paths: list[str]) -> None:
    for path in paths:
        remove(path)
