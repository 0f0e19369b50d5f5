"""Uploaded files, and those that batches write: kept, listed, read and deleted by those who own them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

from caravan_schemas.files import MAX_FILES_PAGE, DeletedFile, FileForm, FilesQuery

from caravan.api.batches.archive import BatchArchive, Store, storage_error
from caravan.api.batches.stored_files import FileInUseError, NoRoomError, new_id
from caravan.api.batches.values import KEPT_SECONDS, File
from caravan.api.store.errors import MissingError, NotStoredError
from caravan.api.store.records import Page
from caravan.api.store.shelf import list_of
from caravan.auth.principal import Principal
from caravan.errors import (
    InvalidRequestError,
    OverloadedError,
    RequestTooLargeError,
    UnsupportedParameterError,
)
from caravan.runtime.shared_limit import SharedLimit
from caravan.runtime.threads import in_thread, to_the_end

T = TypeVar("T")

# Uploads at once: each has an open file, and a thread for the moments in which it writes.
_MAX_UPLOADS = 32
_RETRY_SECONDS = 5
_PIECE_BYTES = 262_144
_LONGEST_NAME = 255
# What a form has beside its file, at most.
_FORM_BYTES = 262_144


class _ConflictError(InvalidRequestError):
    status = 409
    code = "file_in_use"


class _FullError(RequestTooLargeError):
    code = "storage_limit_exceeded"


@dataclass(eq=False)
class Upload:
    """A file on its way. Nothing is known of it until it is kept.

    With those of the same owner that are `beside` it, itself included, it has to fit in the owner's `room`.
    """

    name: str
    owner: str
    path: Path
    max_bytes: int
    limit: RequestTooLargeError
    room: int
    full: RequestTooLargeError
    beside: "list[Upload]" = field(default_factory=list)
    num_bytes: int = 0
    is_kept: bool = False
    _file: BinaryIO | None = None

    def expect(self, announced: str | None) -> None:
        """Refuse what says of itself that it will be too large. Raises RequestTooLargeError."""
        if announced and announced.isdecimal() and int(announced) > self.max_bytes + _FORM_BYTES:
            raise self.limit

    async def write(self, data: bytes) -> None:
        """Add to it. Raises RequestTooLargeError, and StorageError where the disk does not take it."""
        self.num_bytes += len(data)
        if self.num_bytes > self.max_bytes:
            raise self.limit
        if sum(each.num_bytes for each in self.beside) > self.room:
            raise self.full
        try:
            await in_thread(self._write, data)
        except OSError as error:
            raise storage_error(error) from error

    async def finish(self) -> None:
        """Have all of it written. Raises StorageError."""
        try:
            await in_thread(self._finish)
        except OSError as error:
            raise storage_error(error) from error

    def drop(self) -> None:
        """Delete it, unless it is kept."""
        # What could not be written has been told, or nobody wants it.
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        if not self.is_kept:
            self.path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        # Whoever is cancelled waits for this, so that `drop` finds the file.
        self._file = self._file or self.path.open("xb")
        self._file.write(data)

    def _finish(self) -> None:
        # A file of nothing is one, too.
        self._write(b"")
        assert self._file is not None
        self._file.close()


@dataclass
class OpenFile:
    """A file that is read bit by bit; `close` must follow."""

    path: Path
    num_bytes: int
    _file: BinaryIO | None = None

    async def open(self) -> None:
        """Open it. Raises NotStoredError where it has been deleted meanwhile."""
        try:
            await in_thread(self._open)
        except FileNotFoundError as error:
            raise file_missing(self.path.name) from error

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read it to its end."""
        assert self._file is not None
        while piece := await in_thread(self._file.read, _PIECE_BYTES):
            yield piece

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        self._file = self.path.open("rb")


class FileService:
    """Serves `/v1/files`. Callers see their own key's files alone."""

    def __init__(self, archive: BatchArchive, max_file_bytes: int) -> None:
        self._archive = archive
        self.max_file_bytes = max_file_bytes
        self._uploads = SharedLimit(_MAX_UPLOADS)
        self._coming: dict[str, list[Upload]] = {}

    @asynccontextmanager
    async def uploading(self, principal: Principal) -> AsyncGenerator[Upload, None]:
        """Take a file in, bit by bit; what is not kept by the end of the block is deleted.

        Raises OverloadedError and StorageError.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:
                place = self._uploads.enter(
                    principal.id, lambda: patience.reschedule(loop.time()), weight=principal.weight
                )
                if place is None:
                    raise _crowded()
                try:
                    upload = await self._archive.do(partial(self._begun, principal.id), principal.id)
                    with self._counted(upload):
                        try:
                            yield upload
                        finally:
                            await to_the_end(in_thread(upload.drop))
                finally:
                    place.leave()
        except TimeoutError as error:
            raise _crowded() from error

    async def keep(self, upload: Upload, form: FileForm, principal: Principal) -> bytes:
        """Keep a file that has come to its end, and return what is known of it.

        Raises InvalidRequestError, and StorageError.
        """
        if form.purpose != "batch":
            raise UnsupportedParameterError(
                f"'purpose' '{form.purpose}' is not supported: files are read by batches alone, whose "
                "purpose is 'batch'.",
                param="purpose",
            )
        seconds = KEPT_SECONDS if form.expires_after is None else form.expires_after.seconds
        await upload.finish()

        def work(store: Store) -> File:
            kept = store.files.upload(principal.id, upload.name, form.file[:_LONGEST_NAME], seconds)
            upload.is_kept = True
            return kept

        try:
            # Who leaves now may not have the file deleted that is known by then.
            kept = await to_the_end(self._archive.do(work, principal.id))
        except NoRoomError as error:
            raise _full(str(error)) from error
        return kept.document()

    async def list(self, query: FilesQuery, principal: Principal) -> bytes:
        """Return a page of files, the newest first unless `order` is `asc`."""

        def work(store: Store) -> tuple[list[File], bool]:
            limit = query.limit or MAX_FILES_PAGE
            return store.files.page(principal.id, query.after, limit, query.order or "desc", query.purpose)

        try:
            files, has_more = await self._archive.do(work, principal.id)
        except MissingError as error:
            message = f"File with id '{str(error)[:80]}' not found."
            raise InvalidRequestError(message, param="after", code="file_not_found") from error
        return list_of(Page([file.id for file in files], [f.document().decode() for f in files], has_more))

    async def retrieve(self, name: str, principal: Principal) -> bytes:
        """Return what is known of a file."""
        return (await self._find(name, principal, lambda s: s.files.get(principal.id, name))).document()

    async def content(self, name: str, principal: Principal) -> "OpenFile":
        """Find a file to be read. Deleting it while it is cuts nothing off."""

        def work(store: Store) -> OpenFile:
            found = store.files.get(principal.id, name)
            return OpenFile(store.files.path(name), found.num_bytes)

        return await self._find(name, principal, work)

    async def delete(self, name: str, principal: Principal) -> DeletedFile:
        """Forget a file, unless a batch that is not finished reads it."""
        try:
            await self._find(name, principal, lambda s: s.files.delete(principal.id, name))
        except FileInUseError as error:
            raise _ConflictError(f"The batch '{error}' reads this file; cancel it first.") from error
        return DeletedFile(id=name, object="file", deleted=True)

    def _begun(self, owner: str, store: Store) -> Upload:
        name, room = new_id("file-"), store.files.room(owner)
        full = _full(f"{store.files.max_bytes} bytes")
        return Upload(
            name=name,
            owner=owner,
            path=store.files.path(name),
            max_bytes=min(room, self.max_file_bytes),
            room=room,
            full=full,
            limit=full if room < self.max_file_bytes else too_large(self.max_file_bytes),
        )

    @contextlib.contextmanager
    def _counted(self, upload: Upload) -> Iterator[None]:
        """Have an upload known to those beside it."""
        upload.beside = self._coming.setdefault(upload.owner, upload.beside)
        upload.beside.append(upload)
        try:
            yield
        finally:
            upload.beside.remove(upload)
            if not upload.beside:
                del self._coming[upload.owner]

    async def _find(self, name: str, principal: Principal, work: Callable[[Store], T]) -> T:
        try:
            return await self._archive.do(work, principal.id)
        except MissingError as error:
            raise file_missing(name) from error


def file_missing(name: str) -> NotStoredError:
    """Make the error about a file that is not there, or another's."""
    return NotStoredError(f"File with id '{name[:80]}' not found.", code="file_not_found")


def too_large(max_bytes: int) -> RequestTooLargeError:
    """Make the error about a file that no key may upload."""
    return RequestTooLargeError(f"The file is larger than {max_bytes} bytes.", param="file")


def _full(limit: str) -> RequestTooLargeError:
    message = f"This key's files and answers may have {limit} together; delete some first."
    return _FullError(message, param="file")


def _crowded() -> OverloadedError:
    message = "Too many files are being uploaded at the moment."
    return OverloadedError(message, retry_after=_RETRY_SECONDS)
