"""Where responses are kept: `AsyncResponseStore` and `Outcomes`. README.md tells what is behind them."""

from caravan.api.responses.store.async_store import (
    AsyncResponseStore,
    Outcome,
    Outcomes,
    StorageBusyError,
    StorageError,
)
from caravan.api.responses.store.files import PlaceError, check_place
from caravan.api.responses.store.response_store import (
    Limits,
    LongHistoryError,
    MissingResponseError,
    ResponseStore,
    Row,
)

__all__ = [
    "AsyncResponseStore",
    "Limits",
    "LongHistoryError",
    "MissingResponseError",
    "Outcome",
    "Outcomes",
    "PlaceError",
    "ResponseStore",
    "Row",
    "StorageBusyError",
    "StorageError",
    "check_place",
]
