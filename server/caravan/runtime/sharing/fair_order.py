"""The order in which requests of several owners get their turns."""


class FairOrder:
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996): whoever asks for much waits behind those
    who ask for little, each owner's share being in proportion to a weight. One owner alone has the order of
    arrival.
    """

    def __init__(self) -> None:
        self.virtual_time = 0.0
        self._ends: dict[str, float] = {}

    def start(self, owner: str) -> float:
        """Where the owner's next request belongs, lower first."""
        return max(self.virtual_time, self._ends.get(owner, 0.0))

    def place(self, owner: str, weight: float, cost: float) -> float:
        """Where a request of this cost belongs, lower first; `begin` it there."""
        start = self.start(owner)
        self._ends[owner] = start + cost / weight
        return start

    def give_back(self, owner: str, weight: float, cost: float) -> None:
        """Take back the cost of a request that was placed and will never have its turn."""
        if owner in self._ends:
            self._ends[owner] -= cost / weight

    def begin(self, start: float) -> None:
        """Note that the request placed there has its turn. Owners that are not ahead are forgotten."""
        if start > self.virtual_time:
            self.virtual_time = start
            self._ends = {owner: end for owner, end in self._ends.items() if end > start}
