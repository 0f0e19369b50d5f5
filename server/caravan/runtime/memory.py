"""Memory that a request needs, asked for before the work begins that would end the process without it."""

from caravan.errors import MemoryShortError
from caravan.runtime.machine import has_memory

# Others may have given memory back by then.
_RETRY_SECONDS = 5


def require(num_bytes: int, what: str) -> None:
    """Raises MemoryShortError where so much is not free; `what` is read then, such as `'prompt'`."""
    if not has_memory(num_bytes):
        raise MemoryShortError(
            f"The server has too little memory at the moment to read {what}.", retry_after=_RETRY_SECONDS
        )
