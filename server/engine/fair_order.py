"""The order in which requests of several owners get their turns."""


class FairOrder:
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996): whoever asks for much waits behind those
    who ask for little, each owner's share being in proportion to a weight. One owner alone has the order of
    arrival.
    """

    def __init__(self) -> None:
        self._virtual_time = 0.0
        self._ends: dict[str, float] = {}

    def place(self, owner: str, weight: float, cost: float) -> float:
        """Where a request of this cost belongs, lower first; `begin` it there."""
        start = max(self._virtual_time, self._ends.get(owner, 0.0))
        self._ends[owner] = start + cost / weight
        return start

    def begin(self, start: float) -> None:
        """Note that the request placed there has its turn. Owners that are not ahead are forgotten."""
        if start > self._virtual_time:
            self._virtual_time = start
            self._ends = {owner: end for owner, end in self._ends.items() if end > start}
