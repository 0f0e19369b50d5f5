"""What a search tells of itself while it runs."""

from typing import Protocol

from caravan.tune.records import Record


class Progress(Protocol):
    """Shows it to whoever waits. Called by one thread."""

    def phase(self, title: str, num_requests: int) -> None:
        """Something begins that will take so many requests, or fewer."""
        ...

    def answered(self) -> None:
        """One more request is answered."""
        ...

    def trial(self, record: Record, best: Record | None) -> None:
        """A trial has ended; `best` is the best so far by the first objective."""
        ...

    def note(self, text: str) -> None:
        """A remark."""
        ...
