"""Recursion at the end of rules, written as loops.

llguidance's parser keeps each level of recursion open, and closes all of them wherever the text may end: with
`list ::= item | item "," list` each token would take longer than the one before, and much longer with
`e ::= n (op e)*`, which can be read in ever more ways. A loop takes the same time for each of its rounds.

A reference that ends an alternative is a tail. Rules that lead to each other by tails are equations of
languages, X = A X | C Y | B for each of them; A, B and C have no such tails. Where they mention these rules,
that can be taken as given: the least solution of X = f(X, X) is the least X that is the least solution of
Y = f(X, Y) (Bekić). Three steps keep the least solution:

- X = A X | C Y | B has, for any Y, the least solution X = A* (C Y | B) (Arden).
- This may be put in place of X where other rules have it as their tail.
- Where one rule G, and no other, is repeated in tails, let S = G* and each rule X = A X' | B | P S | Q G S.
  Let H be the least solution of X = A X' | B | P | Q G, which repeats nothing. Then S = H(G)*, and
  X = A X' | B | P S | Q H(G) S, where S is no tail that leads back.

  This is a solution: S S = S, so G S = H(G) S, which is all of S but the empty text. It is the least: in any
  solution S has the empty text, so that each X has H(X), and S has H(G)*, and X has what follows from that.

So the same texts satisfy the result; what could be read in several ways can be read in fewer.
"""

from collections.abc import Iterable

from caravan.grammars.gbnf.analysis import reachable
from caravan.grammars.gbnf.syntax import Grammar, Item, Ref, Rule, Sequence

# Symbols that solving the equations of some rules may add, written out; else they stay recursive.
_MAX_SIZE = 5_000

Edges = dict[int, set[int]]


class _TooLargeError(Exception):
    """The loops of some rules would be longer than is worth it."""


def looped(grammar: Grammar) -> Grammar:
    """Write loops for recursion at the end of rules; the language stays. There must be no left recursion."""
    rules = [Rule(rule.name, rule.offset, rule.alternatives) for rule in grammar.rules]
    looped_grammar = Grammar(rules, grammar.root)
    for circle in _circles(looped_grammar):
        _Repeated(rules, circle).unroll()
    for circle in _circles(looped_grammar):
        _Equations(rules, circle).solve()
    return looped_grammar


def _circles(grammar: Grammar) -> list[set[int]]:
    """The sets of rules that lead to each other, or to themselves, by tails."""
    forward: Edges = {rule: set() for rule in reachable(grammar)}
    backward: Edges = {rule: set() for rule in forward}
    for rule in forward:
        for item in map(_tail, grammar.rules[rule].alternatives):
            if item is not None:
                following = _rule(item)
                forward[rule].add(following)
                backward[following].add(rule)
    seen: set[int] = set()
    order = [rule for start in forward for rule in _found(start, forward, seen)]
    seen.clear()
    parts = [set(_found(rule, backward, seen)) for rule in reversed(order)]
    return [part for part in parts if any(forward[rule] & part for rule in part)]


def _found(start: int, edges: Edges, seen: set[int]) -> list[int]:
    """The rules that one leads to and were not seen before, each after those that it leads to."""
    if start in seen:
        return []
    seen.add(start)
    found = []
    path = [(start, iter(edges[start]))]
    while path:
        rule, following = path[-1]
        after = next((one for one in following if one not in seen), None)
        if after is None:
            found.append(rule)
            path.pop()
        else:
            seen.add(after)
            path.append((after, iter(edges[after])))
    return found


def _tail(alternative: Sequence) -> Item | None:
    """What ends an alternative if it is a rule, once or not at all, or repeated without end."""
    item = alternative[-1] if alternative else None
    if item is None or not isinstance(item.symbol, Ref) or item.low > 1 or item.high not in (1, None):
        return None
    return item


def _rule(item: Item) -> int:
    assert isinstance(item.symbol, Ref)
    return item.symbol.rule


class _Repeated:
    """Rules that lead to each other by tails, one of which is repeated there."""

    def __init__(self, rules: list[Rule], circle: set[int]) -> None:
        self._rules = rules
        self._circle = circle
        # The same rules without the repetition, made as they are needed.
        self._heads: dict[int, int] = {}
        self._waiting: list[int] = []

    def unroll(self) -> None:
        """Let the repeated tail be one that does not lead back, unless there are several."""
        before = {rule: self._rules[rule].alternatives for rule in self._circle}
        tails = [self._tail(alternative) for alternatives in before.values() for alternative in alternatives]
        if len({_rule(tail) for tail in tails if tail is not None and tail.high is None}) != 1:
            return
        for rule, alternatives in before.items():
            self._rules[rule].alternatives = tuple(map(self._unrolled, alternatives))
        while self._waiting:
            rule = self._waiting.pop()
            heads = dict.fromkeys(map(self._without_repetition, before[rule]))
            self._rules[self._heads[rule]].alternatives = tuple(heads)

    def _unrolled(self, alternative: Sequence) -> Sequence:
        tail = self._tail(alternative)
        if tail is None or tail.high is not None:
            return alternative
        return (*alternative[:-1], Item(self._head(_rule(tail)), tail.low, None))

    def _without_repetition(self, alternative: Sequence) -> Sequence:
        tail = self._tail(alternative)
        if tail is None:
            return alternative
        if tail.high is None and not tail.low:
            return alternative[:-1]
        return (*alternative[:-1], Item(self._head(_rule(tail)), tail.low, 1))

    def _tail(self, alternative: Sequence) -> Item | None:
        tail = _tail(alternative)
        return tail if tail is not None and _rule(tail) in self._circle else None

    def _head(self, rule: int) -> Ref:
        if rule not in self._heads:
            self._heads[rule] = len(self._rules)
            self._rules.append(Rule(self._rules[rule].name, self._rules[rule].offset))
            self._waiting.append(rule)
        return Ref(self._heads[rule])


class _Equations:
    """Rules that lead to each other by tails, solved one after the other."""

    def __init__(self, rules: list[Rule], circle: set[int]) -> None:
        self._rules = rules
        self._size_left = _MAX_SIZE
        # How much the rules that are made here come to.
        self._sizes: dict[int, int] = {}
        # For each rule what comes before each of its tails, and its alternatives without.
        self._heads: dict[int, dict[int, list[Sequence]]] = {rule: {} for rule in circle}
        self._ends: dict[int, list[Sequence]] = {rule: [] for rule in circle}

    def solve(self) -> None:
        """Rewrite the rules, unless that would become too large."""
        num_uses = dict.fromkeys(self._heads, 0)
        for rule in self._heads:
            for alternative in self._rules[rule].alternatives:
                self._read(rule, alternative)
            for tail in self._heads[rule]:
                num_uses[tail] += 1
        # First what is copied least.
        waiting = sorted(self._heads, key=lambda rule: -num_uses[rule] * len(self._heads[rule]))
        try:
            while waiting:
                self._eliminate(waiting.pop(), waiting)
        except _TooLargeError:
            return
        for rule, heads in self._heads.items():
            tails = [(*head, Item(Ref(tail))) for tail, found in heads.items() for head in found]
            self._rules[rule].alternatives = tuple(dict.fromkeys(tails + self._ends[rule]))

    def _read(self, rule: int, alternative: Sequence) -> None:
        item = _tail(alternative)
        if item is None or item.high is None or _rule(item) not in self._heads:
            self._ends[rule].append(alternative)
            return
        self._heads[rule].setdefault(_rule(item), []).append(alternative[:-1])
        if not item.low:
            self._ends[rule].append(alternative[:-1])

    def _eliminate(self, rule: int, others: Iterable[int]) -> None:
        heads, ends = self._heads[rule], self._ends[rule]
        if rounds := heads.pop(rule, None):
            loop = self._loop(rule, rounds)
            heads = {tail: [(loop, *self._any_of(rule, found))] for tail, found in heads.items()}
            ends = [(loop, *self._any_of(rule, ends))] if ends else []
            self._heads[rule], self._ends[rule] = heads, ends
        users = [other for other in others if rule in self._heads[other]]
        if not users:
            return
        after = {tail: self._any_of(rule, found) for tail, found in heads.items()}
        end = self._any_of(rule, ends) if ends else None
        for user in users:
            before = self._any_of(user, self._heads[user].pop(rule))
            for tail, found in after.items():
                self._add(self._heads[user].setdefault(tail, []), (*before, *found))
            if end is not None:
                self._add(self._ends[user], (*before, *end))

    def _add(self, alternatives: list[Sequence], one: Sequence) -> None:
        self._size_left -= self._size(one)
        if self._size_left < 0:
            raise _TooLargeError
        alternatives.append(one)

    def _loop(self, rule: int, rounds: list[Sequence]) -> Item:
        one = self._any_of(rule, rounds)
        symbol = one[0].symbol if len(one) == 1 and one[0].is_single else self._made(rule, [one])
        return Item(symbol, 0, None)

    def _any_of(self, rule: int, alternatives: list[Sequence]) -> Sequence:
        if len(set(alternatives)) == 1:
            return alternatives[0]
        return (Item(self._made(rule, alternatives)),)

    def _made(self, rule: int, alternatives: list[Sequence]) -> Ref:
        """A rule of its own for a piece of one."""
        index = len(self._rules)
        self._rules.append(Rule(self._rules[rule].name, self._rules[rule].offset))
        self._rules[index].alternatives = tuple(dict.fromkeys(alternatives))
        self._sizes[index] = sum(map(self._size, alternatives))
        return Ref(index)

    def _size(self, sequence: Sequence) -> int:
        return 1 + sum(
            self._sizes.get(item.symbol.rule, 1) if isinstance(item.symbol, Ref) else 1 for item in sequence
        )
