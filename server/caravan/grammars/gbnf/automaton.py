"""Terminals as one nondeterministic automaton over characters; it may accept too much, never too little."""

from caravan.grammars.gbnf.follow import Budget
from caravan.grammars.gbnf.syntax import Chars, Grammar, Item, Ranges, Ref, Sequence

# Repetitions up to this many are told apart; longer ones are taken for endless.
_MAX_COPIES = 8
_MAX_DEPTH = 60
_MAX_STATES = 4000


class TooManyStatesError(Exception):
    """One terminal is too large for an automaton."""


class Automaton:
    """States are numbers; `owner` says to which terminal a state belongs, `final` which of them accepts."""

    def __init__(self, grammar: Grammar, budget: Budget) -> None:
        self._rules = grammar.rules
        self._budget = budget
        self._index = 0
        self._limit = 0
        self._silent: list[list[int]] = []
        self._closures: dict[int, frozenset[int]] = {}
        # Characters, the state they lead to, and the item of the run that they belong to.
        self.edges: list[list[tuple[Ranges, int, int]]] = []
        self.owner: list[int] = []
        self.starts: list[int] = []
        self.final: list[int] = []

    def add(self, run: Sequence) -> None:
        """Add a terminal; raises TooManyStatesError, or TooLargeError from the budget."""
        self._limit = len(self.edges) + _MAX_STATES
        self.starts.append(self._state())
        state = self.starts[-1]
        for self._index, item in enumerate(run):
            state = self._item(item, state, 0)
        self.final.append(state)

    def closure(self, state: int) -> frozenset[int]:
        """Find the states that a state is at the same time."""
        found = self._closures.get(state)
        if found is None:
            seen = {state}
            waiting = [state]
            while waiting:
                for other in self._silent[waiting.pop()]:
                    if other not in seen:
                        seen.add(other)
                        waiting.append(other)
            self._budget.spend(len(seen))
            found = self._closures[state] = frozenset(seen)
        return found

    def first(self, terminal: int) -> Ranges:
        """Find the characters with which a terminal may begin."""
        return tuple(
            pair
            for state in self.closure(self.starts[terminal])
            for ranges, _, _ in self.edges[state]
            for pair in ranges
        )

    def _state(self) -> int:
        if len(self.edges) >= self._limit:
            raise TooManyStatesError
        self._budget.spend()
        self.edges.append([])
        self._silent.append([])
        self.owner.append(len(self.starts) - (len(self.final) < len(self.starts)))
        return len(self.edges) - 1

    def _items(self, items: Sequence, state: int, depth: int) -> int:
        for item in items:
            state = self._item(item, state, depth)
        return state

    def _item(self, item: Item, state: int, depth: int) -> int:
        low = min(item.low, _MAX_COPIES)
        for _ in range(low):
            state = self._symbol(item.symbol, state, depth)
        if item.high is None or item.high > low + _MAX_COPIES:
            loop = self._state()
            self._silent[state].append(loop)
            self._silent[self._symbol(item.symbol, loop, depth)].append(loop)
            return loop
        skips = []
        for _ in range(item.high - low):
            skips.append(state)
            state = self._symbol(item.symbol, state, depth)
        for skip in skips:
            self._silent[skip].append(state)
        return state

    def _symbol(self, symbol: object, state: int, depth: int) -> int:
        end = self._state()
        if isinstance(symbol, Chars):
            self.edges[state].append((symbol.ranges, end, self._index))
            return end
        assert isinstance(symbol, Ref)
        if depth > _MAX_DEPTH:
            raise TooManyStatesError
        for alternative in self._rules[symbol.rule].alternatives:
            begin = self._state()
            self._silent[state].append(begin)
            self._silent[self._items(alternative, begin, depth + 1)].append(end)
        return end
