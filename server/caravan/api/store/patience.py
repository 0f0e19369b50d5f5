"""Work on a store in its thread that comes again while another program has the file locked."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from caravan.api.store.database import is_full, is_locked
from caravan.api.store.errors import StorageError
from caravan.api.store.files import PlaceError, reason
from caravan.runtime.fair_queue import FairThread

T = TypeVar("T")

# How long a lock of another program is waited for, and between two tries.
_LOCKED_SECONDS = 5.0
_RETRY_SECONDS = 0.1


async def open_at(place: Path | None, thread: FairThread, open_store: Callable[[], object]) -> None:
    """Open a store in its thread; raises PlaceError where that cannot be done.

    What may pass, such as another program's lock or a full disk, is left to those who need the store.
    """
    try:
        await asyncio.wrap_future(thread.submit(open_store))
    except sqlite3.Error as error:
        if not is_locked(error) and not is_full(error):
            raise PlaceError(f"{place}: {reason(error)}") from error
    except OSError as error:
        raise PlaceError(f"{place}: {reason(error)}") from error


async def insist(
    thread: FairThread,
    work: Callable[[], T],
    owner: str,
    told: Callable[[sqlite3.Error | OSError], StorageError],
) -> T:
    """Return the result of `work`, done in the turn of `owner`; nobody waits in the thread for a lock.

    Raises what it raises, and what is `told` in the place of the database's own errors.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LOCKED_SECONDS
    while True:
        try:
            return await asyncio.wrap_future(thread.submit(work, owner))
        except (sqlite3.Error, OSError) as error:
            is_passing = isinstance(error, sqlite3.Error) and is_locked(error)
            if not is_passing or loop.time() > deadline:
                raise told(error) from error
        await asyncio.sleep(_RETRY_SECONDS)
