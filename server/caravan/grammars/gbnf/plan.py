"""Which parts of a grammar become terminals of llguidance's lexer, and which rules of its parser."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from caravan.grammars.gbnf.analysis import nullable, regular
from caravan.grammars.gbnf.syntax import Chars, Grammar, Item, Ref, Sequence, Tokens

# More optional symbols in a row than these are not written as one terminal, see `lark.py`.
_MAX_OPTIONAL = 32


@dataclass(frozen=True, slots=True)
class Terminal:
    """Text that the lexer takes in one piece: a run of regular items. Empty text is left to the parser."""

    run: Sequence
    is_optional: bool


@dataclass(frozen=True, slots=True)
class RulePart:
    """A rule of the parser, so many times."""

    rule: int
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class TokenPart:
    """A token, so many times."""

    tokens: Tokens
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Loop:
    """Parts in a row, so many times."""

    parts: tuple["Part", ...]
    low: int
    high: int | None


Part = Terminal | RulePart | TokenPart | Loop
Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the parser sees: a start, and the alternatives of the rules that it needs, users first."""

    start: Parts
    rules: dict[int, tuple[Parts, ...]]


class Planner:
    """Plans for one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.regular = regular(grammar)
        self.nullable = nullable(grammar.rules)

    @property
    def is_regular(self) -> bool:
        """Whether the whole grammar is one regular expression."""
        return self.grammar.root in self.regular

    def plan(self, broken: Mapping[Sequence, int]) -> Plan:
        """Make terminals as long as can be, apart from the `broken`, which are split at an item."""
        start = tuple(self._parts((Item(Ref(self.grammar.root)),), broken))
        rules: dict[int, tuple[Parts, ...]] = {}
        waiting = list(_rules_in(start))
        while waiting:
            rule = waiting.pop()
            if rule in rules:
                continue
            rules[rule] = tuple(
                tuple(self._parts(alternative, broken))
                for alternative in self.grammar.rules[rule].alternatives
            )
            for parts in rules[rule]:
                waiting.extend(_rules_in(parts))
        return Plan(start, rules)

    def is_nullable(self, item: Item) -> bool:
        """Tell whether the empty text satisfies an item."""
        return item.low == 0 or (isinstance(item.symbol, Ref) and item.symbol.rule in self.nullable)

    def _parts(self, alternative: Sequence, broken: Mapping[Sequence, int]) -> Iterator[Part]:
        run: list[Item] = []
        for item in alternative:
            if self._is_regular(item):
                run.append(item)
                continue
            yield from self._pieces(tuple(run), broken)
            run = []
            if isinstance(item.symbol, Ref):
                yield RulePart(item.symbol.rule, item.low, item.high)
            else:
                assert isinstance(item.symbol, Tokens)
                yield TokenPart(item.symbol, item.low, item.high)
        yield from self._pieces(tuple(run), broken)

    def _is_regular(self, item: Item) -> bool:
        symbol = item.symbol
        return isinstance(symbol, Chars) or (isinstance(symbol, Ref) and symbol.rule in self.regular)

    def _pieces(self, run: Sequence, broken: Mapping[Sequence, int]) -> Iterator[Part]:
        if not run:
            return
        is_short = len(run) < _MAX_OPTIONAL or not all(map(self.is_nullable, run[:_MAX_OPTIONAL]))
        is_whole = is_short and run not in broken
        is_character = len(run) == 1 and run[0].is_single and isinstance(run[0].symbol, Chars)
        if is_whole or is_character:
            yield Terminal(run, all(map(self.is_nullable, run)))
        elif len(run) > 1:
            cut = broken[run] if run in broken else len(run) // 2
            yield from self._pieces(run[:cut], broken)
            yield from self._pieces(run[cut:], broken)
        elif not run[0].is_single:
            inner = tuple(self._pieces((Item(run[0].symbol),), broken))
            yield Loop(inner, run[0].low, run[0].high)
        else:
            assert isinstance(run[0].symbol, Ref)
            yield RulePart(run[0].symbol.rule, 1, 1)


def terminals(plan: Plan) -> list[Sequence]:
    """List the runs of all terminals, each once."""
    found: dict[Sequence, None] = {}
    for part in _all_parts(plan):
        if isinstance(part, Terminal):
            found[part.run] = None
    return list(found)


def token_parts(plan: Plan) -> list[Tokens]:
    """List all tokens that are named, each once."""
    return list(dict.fromkeys(part.tokens for part in _all_parts(plan) if isinstance(part, TokenPart)))


def _all_parts(plan: Plan) -> Iterator[Part]:
    yield from _inner(plan.start)
    for alternatives in plan.rules.values():
        for parts in alternatives:
            yield from _inner(parts)


def _inner(parts: Parts) -> Iterator[Part]:
    for part in parts:
        yield part
        if isinstance(part, Loop):
            yield from _inner(part.parts)


def _rules_in(parts: Parts) -> Iterator[int]:
    return (part.rule for part in _inner(parts) if isinstance(part, RulePart))
