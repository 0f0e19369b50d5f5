"""What can be wrong with the store, and with what is asked of it."""

from caravan.errors import InvalidRequestError, ServerError


class StorageError(ServerError):
    """The store cannot be read or written; the log says why."""

    code = "storage_failed"


class StorageBusyError(StorageError):
    """The store cannot be used now, and may be soon: locked, on a full disk, or to be mended."""

    status = 503
    code = "storage_unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=5)


class NotStoredError(InvalidRequestError):
    """Nothing of this id is stored, or it is another owner's."""

    status = 404
    code = "not_found"


class MissingError(Exception):
    """Something that is not stored, or is somebody else's. The message is its id."""


class MissingItemError(Exception):
    """An item that is not in what is asked for it. The message is its id."""


class KnownItemError(Exception):
    """An item that a conversation has already. The message is its id."""


class LongHistoryError(Exception):
    """A conversation that is too long to go on with; the message says how long."""
