"""Where responses are kept: `AsyncStore` and `Outcomes`. README.md tells what is behind them."""

from caravan.api.store.async_store import (
    AsyncStore,
    Outcome,
    Outcomes,
    StorageBusyError,
    StorageError,
)
from caravan.api.store.files import PlaceError, check_place
from caravan.api.store.store import (
    Limits,
    LongHistoryError,
    MissingError,
    Row,
    Store,
)

__all__ = [
    "AsyncStore",
    "Limits",
    "LongHistoryError",
    "MissingError",
    "Outcome",
    "Outcomes",
    "PlaceError",
    "Row",
    "StorageBusyError",
    "StorageError",
    "Store",
    "check_place",
]
