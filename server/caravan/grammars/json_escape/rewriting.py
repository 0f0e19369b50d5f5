r"""Grammars in Lark of texts as they stand inside of JSON strings.

A state runs along the text: whether the backslash of what comes next has been read already (see `terminals`).
Each expression becomes one for every pair of the states before and behind it that is possible. Texts fall
into terminals as they do in the grammar itself, so that both accept the same; except that what is ignored may
also follow a text that nothing else can follow, as it may in Lark.
"""

from collections.abc import Sequence
from enum import IntEnum

from caravan.grammars.json_escape.nodes import (
    EMPTY,
    Alt,
    Cat,
    Name,
    Node,
    Not,
    Pattern,
    Repeat,
    UnescapableError,
    alt,
    cat,
    repeat,
)
from caravan.grammars.json_escape.syntax import Grammar, grammar
from caravan.grammars.json_escape.terminals import MAX_LENGTH, Terminals


class _State(IntEnum):
    """Nothing has been read so far; whole characters have, and no backslash follows; or that one, too."""

    START = 0
    WHOLE = 1
    BEHIND = 2


# The state before an expression and the one behind it.
_Way = tuple[_State, _State]
_Ways = frozenset[_Way]

_SAME: _Ways = frozenset((state, state) for state in _State)
_ENDS: tuple[_Way, ...] = ((_State.START, _State.START), (_State.START, _State.WHOLE))
# Longer rows become rules of their own.
_MAX_INLINE = 200


def escaped_lark(text: str) -> str:
    """Write the counterpart of a sound grammar. Raises UnescapableError."""
    try:
        rules = _Rules(grammar(text))
        return _Writer(rules, _Paths(rules).found()).written()
    except RecursionError:
        raise UnescapableError("it nests too deeply") from None


class _Rules:
    """A grammar's rules out of `Cat` of two parts each, `Alt`, `Repeat` without an end, and leaves: terminals
    and the names of rules. What is ignored has its places behind each terminal.
    """

    def __init__(self, found: Grammar) -> None:
        self.terminals = Terminals(found.terminals, found.ignored)
        self._skip = repeat(alt(*found.ignored), 0, None) if found.ignored else EMPTY
        self.ignored = frozenset(found.ignored)
        self.leaves: set[Node] = set(found.ignored)
        self._known: dict[tuple[str, str], Node] = {}
        self._names = found.rules.keys()
        self.rules = {name: self._spelled(node) for name, node in found.rules.items()}

    def _spelled(self, node: Node) -> Node:
        match node:
            case Name(name=name) if name in self._names:
                return node
            case Name(name=name):
                return self._leaf(node, name)
            case Pattern(text=text, flags=flags):
                return self._leaf(node, f"/{text}", flags)
            case Not():
                return self._leaf(node, f"~{id(node)}")
            case Cat(parts=parts):
                return _halved([self._spelled(part) for part in parts])
            case Alt(options=options):
                return alt(*map(self._spelled, options))
            case Repeat(node=inner, low=low, high=high):
                return _copied(self._spelled(inner), low, high)
        raise UnescapableError("'&' is only supported in terminals")

    def _leaf(self, node: Node, text: str, flags: str = "") -> Node:
        """A terminal and what is ignored behind it; equal terminals are one."""
        leaf = self._known.setdefault((text, flags), node)
        self.leaves.add(leaf)
        return cat(leaf, self._skip)

    def form(self, leaf: Node, state: _State) -> tuple[str | None, bool]:
        """Return the terminal as it is written from a state on, and whether it may also be left out."""
        if leaf in self.ignored:
            forms = self.terminals.ignored(leaf)
        else:
            forms = self.terminals.forms(leaf, is_first=state is _State.START)
        match state:
            case _State.START:
                return None if leaf in self.ignored else forms.whole, forms.is_nullable
            case _State.WHOLE:
                # A backslash that comes here is read by the terminal before.
                return forms.whole if forms.begins_plain else None, forms.is_nullable
        return forms.behind, forms.is_nullable


def _halved(parts: Sequence[Node]) -> Node:
    if len(parts) <= 2:
        return cat(*parts)
    middle = len(parts) // 2
    return cat(_halved(parts[:middle]), _halved(parts[middle:]))


def _copied(node: Node, low: int, high: int | None) -> Node:
    if high is None:
        return cat(_power(node, low), repeat(node, 0, None))
    return cat(_power(node, low), _power(alt(node, EMPTY), high - low))


def _power(node: Node, count: int) -> Node:
    """As many copies, counted out in halves that are the same."""
    if count < 2:
        return node if count else EMPTY
    half = _power(node, count // 2)
    return cat(cat(half, half), node) if count % 2 else cat(half, half)


class _Paths:
    """The ways of all expressions: those on which some text leads."""

    def __init__(self, rules: _Rules) -> None:
        self._rules = rules
        self._leaves = {leaf: _ways_of_leaf(rules, leaf) for leaf in rules.leaves}
        self._of_rules: dict[str, _Ways] = dict.fromkeys(rules.rules, frozenset())
        self._users: dict[str, set[str]] = {name: set() for name in rules.rules}

    def found(self) -> dict[Node, _Ways]:
        of_nodes: dict[str, dict[Node, _Ways]] = {}
        waiting = dict.fromkeys(self._rules.rules)
        while waiting:
            rule, _ = waiting.popitem()
            of_nodes[rule] = {}
            found = self._note(self._rules.rules[rule], rule, of_nodes[rule])
            if found != self._of_rules[rule]:
                self._of_rules[rule] = found
                waiting.update(dict.fromkeys(self._users[rule]))
        return {node: ways for nodes in of_nodes.values() for node, ways in nodes.items()}

    def _note(self, node: Node, rule: str, ways: dict[Node, _Ways]) -> _Ways:
        if node not in ways:
            ways[node] = self._of(node, rule, ways)
        return ways[node]

    def _of(self, node: Node, rule: str, ways: dict[Node, _Ways]) -> _Ways:
        if node in self._leaves:
            return self._leaves[node]
        match node:
            case Name(name=name):
                self._users[name].add(rule)
                return self._of_rules[name]
            case Cat(parts=parts):
                reached = _SAME
                for part in parts:
                    reached = _joined(reached, self._note(part, rule, ways))
                return reached
            case Alt(options=options):
                return frozenset().union(*(self._note(option, rule, ways) for option in options))
            case Repeat(node=inner):
                once = self._note(inner, rule, ways)
                twice = _joined(once, once)
                return _SAME | once | twice | _joined(twice, once)
        raise TypeError(node)


def _joined(first: _Ways, second: _Ways) -> _Ways:
    return frozenset((start, end) for start, at in first for begun, end in second if at == begun)


def _ways_of_leaf(rules: _Rules, leaf: Node) -> _Ways:
    found: set[_Way] = set()
    for state in _State:
        text, is_nullable = rules.form(leaf, state)
        if text is not None:
            found |= {(state, _State.WHOLE), (state, _State.BEHIND)}
        if is_nullable:
            found.add((state, state))
    return frozenset(found)


class _Writer:
    def __init__(self, rules: _Rules, ways: dict[Node, _Ways]) -> None:
        self._rules = rules
        self._ways = ways
        self._texts: dict[tuple[Node, _Way], str] = {}
        self._terminals: dict[str, str] = {}
        self._names: dict[tuple[str, _Way], str] = {}
        self._waiting: list[tuple[str, _Way]] = []
        self._written: list[str] = []
        self._length = 0

    def written(self) -> str:
        start = self._rules.rules["start"]
        options = [self._named("start", way) for way in _ENDS if way in self._ways[start]]
        if not options:
            raise UnescapableError("nothing satisfies it that a JSON string can hold")
        self._write("start", " | ".join(options))
        while self._waiting:
            name, way = self._waiting.pop()
            self._write(self._names[name, way], self._text(self._rules.rules[name], way))
        return "\n".join(self._written)

    def _write(self, name: str, body: str) -> None:
        self._written.append(f"{name}: {body}")
        self._length += len(body)
        if self._length > MAX_LENGTH:
            raise UnescapableError("it is too large")

    def _named(self, rule: str, way: _Way) -> str:
        if (rule, way) not in self._names:
            self._names[rule, way] = f"rule{len(self._names)}"
            self._waiting.append((rule, way))
        return self._names[rule, way]

    def _text(self, node: Node, way: _Way) -> str:
        """The expression's texts on a way that it has, as an operand in Lark."""
        if (node, way) not in self._texts:
            self._texts[node, way] = self._new_text(node, way)
        return self._texts[node, way]

    def _new_text(self, node: Node, way: _Way) -> str:
        if node in self._rules.leaves:
            return self._terminal(node, way)
        match node:
            case Name(name=name):
                return self._named(name, way)
            case Cat(parts=parts):
                return self._row(parts, way)
            case Alt(options=options):
                texts = [self._text(option, way) for option in options if way in self._ways[option]]
                return self._short(texts)
            case Repeat(node=inner):
                return self._repetition(node, inner, way)
        raise TypeError(node)

    def _short(self, options: Sequence[str]) -> str:
        text = f"({' | '.join(options)})" if len(options) > 1 else options[0]
        if len(text) <= _MAX_INLINE:
            return text
        name = f"part{len(self._written)}"
        self._write(name, text)
        return name

    def _row(self, parts: Sequence[Node], way: _Way) -> str:
        if not parts:
            return '""'
        first, second = parts
        return self._short(
            [
                f"({self._text(first, (way[0], state))} {self._text(second, (state, way[1]))})"
                for state in _State
                if (way[0], state) in self._ways[first] and (state, way[1]) in self._ways[second]
            ]
        )

    def _repetition(self, node: Node, inner: Node, way: _Way) -> str:
        once = self._ways[inner]
        start, end = way
        # On other ways, they lead elsewhere and back.
        if start == end and not any(
            (start, state) in self._ways[node] and (state, end) in self._ways[node]
            for state in _State
            if state is not start
        ):
            return f"({self._text(inner, way)})*" if way in once else '""'
        name = f"again{len(self._written)}_{len(self._texts)}"
        # It names itself.
        self._texts[node, way] = name
        options = ['""'] if start == end else []
        options.extend(
            f"{self._text(node, (start, state))} {self._text(inner, (state, end))}"
            for state in _State
            if (start, state) in self._ways[node] and (state, end) in once
        )
        self._write(name, " | ".join(options))
        return name

    def _terminal(self, node: Node, way: _Way) -> str:
        form, is_nullable = self._rules.form(node, way[0])
        if form is None or way[1] is _State.START:
            return '""'
        text = f'({form} "\\\\")' if way[1] is _State.BEHIND else form
        if text not in self._terminals:
            self._terminals[text] = f"T{len(self._terminals)}"
            self._write(self._terminals[text], text)
        name = self._terminals[text]
        return f'({name} | "")' if is_nullable and way[0] is way[1] else name
