"""The files of answers: one for what has been answered well, and one for the rest."""

import os
from functools import partial

from caravan.api.batches.archive import BatchArchive, Store
from caravan.api.batches.stored_files import new_id
from caravan.api.batches.values import Batch

_PAGE = 256

# Whether it has errors, its id, and how many bytes it has.
Output = tuple[bool, str, int]


class OutputWriter:
    """Writes both files bit by bit, in the turns of the batch's owner. What has no lines has no file.

    Raises StorageError; what has been written is then to be discarded, and written anew.
    """

    def __init__(self, archive: BatchArchive, batch: Batch) -> None:
        self._archive = archive
        self._batch = batch
        self._names = {is_error: new_id("file-") for is_error in (False, True)}
        self._sizes = {False: 0, True: 0}

    async def write(self) -> list[Output]:
        """Write all answers that there are."""
        position: int | None = 0
        while position is not None:
            position = await self._archive.do(partial(self._append, position), self._batch.owner)
        return [(is_error, self._names[is_error], size) for is_error, size in self._sizes.items() if size]

    def _append(self, after: int, store: Store) -> int | None:
        rows = store.batches.answers(self._batch, after, _PAGE)
        for is_error, name in self._names.items():
            data = b"".join(text for _, of_errors, text in rows if of_errors is is_error)
            if data:
                with store.files.path(name).open("ab") as file:
                    file.write(data)
                self._sizes[is_error] += len(data)
            elif not rows and self._sizes[is_error]:
                _sync(store, name)
        return rows[-1][0] if rows else None

    def discard(self, store: Store) -> None:
        """Delete what has been written."""
        for name in self._names.values():
            store.files.path(name).unlink(missing_ok=True)


def _sync(store: Store, name: str) -> None:
    """Have the disk keep a file before anybody is told of it."""
    with store.files.path(name).open("rb") as file:
        os.fsync(file.fileno())
