"""Who has come since the engine looked last."""


class Arrivals:
    """Counts requests that background work gives way to. One thread counts; the engine's own looks."""

    def __init__(self) -> None:
        self._num_come = 0
        self._num_seen = 0

    def note(self) -> None:
        """Count one that is in the inbox already."""
        self._num_come += 1

    def look(self) -> None:
        """Take all that have come as seen: the inbox is about to be emptied."""
        self._num_seen = self._num_come

    def has_new(self) -> bool:
        """Say whether one has come since."""
        return self._num_come != self._num_seen
