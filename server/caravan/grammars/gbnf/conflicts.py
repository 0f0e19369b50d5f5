"""Where llguidance's lexer and GBNF would differ, and terminals by which they do not.

The lexer takes the longest piece that any terminal allowed at this place matches; GBNF knows no pieces. The
two agree where no terminal can end before a character with which another one that began at the same place
could go on. Terminals that could go on like that are split up until that holds; single characters always
satisfy it.
"""

from collections.abc import Iterator

from caravan.grammars.gbnf.automaton import Automaton, TooManyStatesError
from caravan.grammars.gbnf.follow import Budget, Follow, TooLargeError
from caravan.grammars.gbnf.plan import Plan, Planner, terminals, token_parts
from caravan.grammars.gbnf.syntax import GbnfError, Ranges, Sequence, Tokens, characters, intersection

# Some tenths of a second at most.
_STEPS = 300_000
_MAX_TOKENS = 64


class _Everything(dict[Sequence, int]):
    """Splits whatever can be split: terminals are single characters."""

    def __missing__(self, run: Sequence) -> int:
        return len(run) // 2

    def __contains__(self, _run: object) -> bool:
        return True


def faithful(planner: Planner, textual: frozenset[Tokens]) -> Plan:
    """Make a plan by which llguidance accepts exactly what the grammar means.

    `textual` are the named tokens that may come as text, too. Raises GbnfError where one of them could be
    read both ways.
    """
    broken: dict[Sequence, int] = {}
    budget = Budget(_STEPS)
    plan = planner.plan(broken)
    if planner.is_regular:
        return plan
    try:
        while True:
            conflicts = _Search(planner, plan, textual, budget).conflicts()
            if not conflicts:
                return plan
            broken |= conflicts
            plan = planner.plan(broken)
    except TooLargeError:
        plan = planner.plan(_Everything())
        if tokens := token_parts(plan):
            raise GbnfError("a grammar that names tokens cannot be this large", tokens[0].offset) from None
        return plan


class _Search:
    def __init__(self, planner: Planner, plan: Plan, textual: frozenset[Tokens], budget: Budget) -> None:
        self._budget = budget
        self._runs = terminals(plan)
        self._tokens = token_parts(plan)
        if len(self._tokens) > _MAX_TOKENS:
            raise GbnfError(f"more than {_MAX_TOKENS} different tokens are named", self._tokens[0].offset)
        self._textual = textual
        symbols: list[Sequence | Tokens] = [*self._runs, *self._tokens]
        numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self._follow = Follow(plan, numbers, planner.nullable, budget)
        self._automaton = Automaton(planner.grammar, budget)
        self._begins: dict[int, Ranges] = {}
        self._broken: dict[Sequence, int] = {}

    def conflicts(self) -> dict[Sequence, int]:
        """Find terminals that must be split up, each with the item to begin anew with.

        Raises GbnfError, and TooLargeError.
        """
        for run in self._runs:
            try:
                self._automaton.add(run)
            except TooManyStatesError:
                return {run: len(run) // 2}
        rows = [self._follow.start]
        seen_rows = {self._follow.start}
        seen_states: set[frozenset[int]] = set()
        while rows:
            row = rows.pop()
            self._check_tokens(row)
            for accepted in self._accepted(row, seen_states):
                after = 0
                for number in _numbers(accepted):
                    after |= self._follow.after[number]
                if after not in seen_rows:
                    seen_rows.add(after)
                    rows.append(after)
            for number in _numbers(row >> len(self._runs)):
                after = self._follow.after[len(self._runs) + number]
                if after not in seen_rows:
                    seen_rows.add(after)
                    rows.append(after)
        return self._broken

    def _accepted(self, row: int, seen: set[frozenset[int]]) -> Iterator[int]:
        """Run the lexer on all texts from a row on; the terminals that match where it may stop."""
        automaton = self._automaton
        start = frozenset().union(
            *(automaton.closure(automaton.starts[n]) for n in _numbers(row) if n < len(self._runs))
        )
        waiting = list(self._moves(start))
        while waiting:
            states = waiting.pop()
            if states in seen:
                continue
            seen.add(states)
            accepted = 0
            for state in states:
                number = automaton.owner[state]
                if automaton.final[number] == state:
                    accepted |= 1 << number
            if accepted:
                self._check(states, accepted)
                yield accepted
            waiting.extend(self._moves(states))

    def _check(self, states: frozenset[int], accepted: int) -> None:
        """Blame what could go on with a character that may come after what is accepted."""
        automaton = self._automaton
        after = 0
        for number in _numbers(accepted):
            after |= self._follow.after[number]
        following = characters(
            pair for number in _numbers(after) if number < len(self._runs) for pair in self._first(number)
        ).ranges
        textual = self._textual_in(after)
        for state in states:
            for ranges, _, index in automaton.edges[state]:
                self._budget.spend(1 + len(following) * len(ranges) // 16)
                if textual is not None:
                    raise _ambiguous(textual)
                if intersection(following, ranges):
                    self._broken.setdefault(self._runs[automaton.owner[state]], index or 1)

    def _moves(self, states: frozenset[int]) -> Iterator[frozenset[int]]:
        """Where the automaton may be after another character, for all characters that make a difference."""
        edges = [edge for state in states for edge in self._automaton.edges[state]]
        changes: dict[int, list[tuple[int, bool]]] = {}
        for ranges, target, _ in edges:
            self._budget.spend(len(ranges))
            for low, high in ranges:
                changes.setdefault(low, []).append((target, True))
                changes.setdefault(high + 1, []).append((target, False))
        active: dict[int, int] = {}
        for position in sorted(changes):
            for target, begins in changes[position]:
                active[target] = active.get(target, 0) + (1 if begins else -1)
            targets = [target for target, count in active.items() if count]
            if targets:
                self._budget.spend(len(targets))
                yield frozenset().union(*map(self._automaton.closure, targets))

    def _first(self, number: int) -> Ranges:
        if number not in self._begins:
            self._begins[number] = self._automaton.first(number)
        return self._begins[number]

    def _check_tokens(self, row: int) -> None:
        textual = self._textual_in(row)
        if textual is not None and row & ((1 << len(self._runs)) - 1):
            raise _ambiguous(textual)

    def _textual_in(self, row: int) -> Tokens | None:
        named = (self._tokens[number] for number in _numbers(row >> len(self._runs)))
        return next((tokens for tokens in named if tokens in self._textual), None)


def _numbers(mask: int) -> Iterator[int]:
    """The positions of the bits of a mask."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _ambiguous(tokens: Tokens) -> GbnfError:
    return GbnfError(
        "this token may come where its text may come, too, which cannot be told apart", tokens.offset
    )
