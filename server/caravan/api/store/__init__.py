"""Where responses, chats and conversations are kept: `AsyncStore`. README.md tells what is behind it."""

from caravan.api.store.async_store import AsyncStore
from caravan.api.store.errors import (
    KnownItemError,
    LongHistoryError,
    MissingError,
    MissingItemError,
    StorageBusyError,
    StorageError,
)
from caravan.api.store.files import PlaceError, check_place
from caravan.api.store.outcomes import Outcome
from caravan.api.store.records import Kind, Page, Record, Row
from caravan.api.store.shelf import Shelf
from caravan.api.store.store import Limits, Store

__all__ = [
    "AsyncStore",
    "Kind",
    "KnownItemError",
    "Limits",
    "LongHistoryError",
    "MissingError",
    "MissingItemError",
    "Outcome",
    "Page",
    "PlaceError",
    "Record",
    "Row",
    "Shelf",
    "StorageBusyError",
    "StorageError",
    "Store",
    "check_place",
]
