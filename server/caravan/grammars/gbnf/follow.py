"""What the lexer may meet where: which terminals begin a rule, and which may come after a terminal.

Sets of terminals are bit masks. Both are too large rather than too small: they do not know the context.
"""

from caravan.grammars.gbnf.plan import Loop, Part, Parts, Plan, RulePart, Terminal, TokenPart
from caravan.grammars.gbnf.syntax import Sequence, Tokens


class TooLargeError(Exception):
    """Finding it out would take too long."""


class Budget:
    """Steps that may still be taken."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps; raises TooLargeError if there were not enough."""
        self._steps -= steps
        if self._steps < 0:
            raise TooLargeError


class Follow:
    """FIRST and FOLLOW sets of a plan; terminals are numbered in the order of `numbers`."""

    def __init__(
        self, plan: Plan, numbers: dict[Sequence | Tokens, int], nullable: set[int], budget: Budget
    ) -> None:
        self._plan = plan
        self._numbers = numbers
        self._nullable = nullable
        self._budget = budget
        self._first = dict.fromkeys(plan.rules, 0)
        self._follow = dict.fromkeys(plan.rules, 0)
        self.after = [0] * len(numbers)
        self._find_first()
        self.start = self._first_of(plan.start)
        self._find_follow()

    def _find_first(self) -> None:
        changed = True
        while changed:
            changed = False
            for rule in reversed(self._plan.rules):
                mask = 0
                for parts in self._plan.rules[rule]:
                    mask |= self._first_of(parts)
                changed |= mask != self._first[rule]
                self._first[rule] = mask

    def _find_follow(self) -> None:
        self._changed = True
        while self._changed:
            self._changed = False
            self._pass(self._plan.start, 0)
            for rule, alternatives in self._plan.rules.items():
                for parts in alternatives:
                    self._pass(parts, self._follow[rule])

    def _pass(self, parts: Parts, after: int) -> None:
        """Tell the parts of a sequence what comes after them, where `after` comes after the sequence."""
        for part in reversed(parts):
            self._budget.spend()
            first = self._first_in(part)
            self._tell(part, after, first)
            after = first | after if self._vanishes(part) else first

    def _tell(self, part: Part, after: int, first: int) -> None:
        if not isinstance(part, Terminal) and (part.high is None or part.high > 1):
            after |= first
        match part:
            case Loop(parts):
                self._pass(parts, after)
            case RulePart(rule):
                self._changed |= after | self._follow[rule] != self._follow[rule]
                self._follow[rule] |= after
            case Terminal() | TokenPart():
                number = self._number(part)
                self._changed |= after | self.after[number] != self.after[number]
                self.after[number] |= after

    def _first_of(self, parts: Parts) -> int:
        mask = 0
        for part in parts:
            self._budget.spend()
            mask |= self._first_in(part)
            if not self._vanishes(part):
                break
        return mask

    def _first_in(self, part: Part) -> int:
        match part:
            case Loop(parts):
                return self._first_of(parts)
            case RulePart(rule):
                return self._first[rule]
            case Terminal() | TokenPart():
                return 1 << self._number(part)

    def _vanishes(self, part: Part) -> bool:
        match part:
            case Terminal(is_optional=is_optional):
                return is_optional
            case Loop(parts, low):
                return low == 0 or all(map(self._vanishes, parts))
            case RulePart(rule, low):
                return low == 0 or rule in self._nullable
            case TokenPart(low=low):
                return low == 0

    def _number(self, part: Terminal | TokenPart) -> int:
        return self._numbers[part.run if isinstance(part, Terminal) else part.tokens]
