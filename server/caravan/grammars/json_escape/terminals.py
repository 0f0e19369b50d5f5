r"""Terminals as they stand inside of a JSON string, whole or from behind a first backslash on.

With `\n` for a line feed and the like, a text falls into terminals at the same places as before, provided
that the lexer finds out as early: it looks one byte ahead, and only behind a backslash it sees which
character comes. So the backslash is read by the terminal in front of it: each terminal has a form with a
backslash at its end, and one that begins behind a backslash.
"""

from collections.abc import Callable, Mapping, Sequence

from caravan.grammars.json_escape.characters import ANY, ESCAPES, first_bytes, in_slashes, written
from caravan.grammars.json_escape.nodes import (
    EMPTY,
    NOTHING,
    Alt,
    And,
    Cat,
    Chars,
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
from caravan.grammars.json_escape.regex import regex
from caravan.grammars.lark_text import times

# Of what is written for one grammar.
MAX_LENGTH = 1_000_000
# Distinct ones, and the parts of one.
_MAX_TERMINALS = 1_000
_MAX_PARTS = 20_000


class Terminals:
    """The terminals of a grammar, written where they are used."""

    def __init__(self, defined: Mapping[str, Node], ignored: Sequence[Node]) -> None:
        self._defined = defined
        self._read: dict[str, Node] = {}
        self._sizes: dict[Node, int] = {}
        self._first: dict[Node, Forms] = {}
        self._later: dict[Node, Forms] = {}
        self._ignored = self._bounded(alt(*map(self._characters, ignored)))

    def forms(self, node: Node, *, is_first: bool) -> "Forms":
        """Write what becomes of an expression that is one terminal. Raises UnescapableError.

        Behind another terminal, what may be ignored is.
        """
        if node not in self._first:
            self._add(node)
        return (self._first if is_first else self._later)[node]

    def ignored(self, node: Node) -> "Forms":
        """Write what becomes of something that is ignored. Raises UnescapableError."""
        return self.forms(node, is_first=True)

    def _add(self, node: Node) -> None:
        if len(self._first) == _MAX_TERMINALS:
            raise UnescapableError(f"it has more than {_MAX_TERMINALS:,} terminals")
        found = self._bounded(self._characters(node))
        self._first[node] = self._later[node] = Forms(found)
        if self._ignored is not NOTHING and first_bytes(lark(And([found, self._ignored]))):
            self._later[node] = Forms(And([found, Not(self._ignored)]))

    def _bounded(self, node: Node) -> Node:
        if self._size(node) > _MAX_PARTS:
            raise UnescapableError(f"a terminal has more than {_MAX_PARTS:,} parts")
        return node

    def _size(self, node: Node) -> int:
        """The number of parts, with those that are shared counted as often as they are used."""
        if node not in self._sizes:
            self._sizes[node] = 1 + sum(map(self._size, _parts(node)))
        return self._sizes[node]

    def _named(self, name: str) -> Node:
        if name not in self._read:
            self._read[name] = self._characters(self._defined[name])
        return self._read[name]

    def _characters(self, node: Node) -> Node:
        """The same out of characters alone."""
        match node:
            case Name(name=name):
                return self._named(name)
            case Pattern(text=text, flags=flags):
                return regex(text, flags)
            case Cat(parts=parts):
                return cat(*map(self._characters, parts))
            case Alt(options=options):
                return alt(*map(self._characters, options))
            case And(parts=parts):
                return And([self._characters(part) for part in parts])
            case Not(node=inner):
                return Not(self._characters(inner))
            case Repeat(node=inner, low=low, high=high):
                return repeat(self._characters(inner), low, high)
            case Chars():
                return node


def _parts(node: Node) -> Sequence[Node]:
    match node:
        case Cat(parts=inner) | Alt(options=inner) | And(parts=inner):
            return inner
        case Not(node=only) | Repeat(node=only):
            return (only,)
    return ()


class Forms:
    """One terminal: expressions in Lark of texts that are not empty, None where there are none.

    `whole` matches the text, `behind` the text without the backslash that it begins with. `begins_plain` says
    that not all begin with one.
    """

    def __init__(self, node: Node) -> None:
        self.is_nullable = nullable(node)
        self.whole: str | None = None
        self.behind: str | None = None
        node = _without_empty(node) if self.is_nullable else node
        self.begins_plain, begins_special = _beginnings(node)
        if not (self.begins_plain or begins_special):
            return
        self.whole = lark(node)
        options = [
            f"({written(special)} {lark(rest)})"
            for special in ESCAPES
            for rest in [derivative(node, special) if begins_special else NOTHING]
            if rest is not NOTHING
        ]
        behind = _bounded(f"({' | '.join(options)})")
        # What only llguidance can tell to be empty has to be told.
        if options and (_is_regular(node) or first_bytes(behind)):
            self.behind = behind


def nullable(node: Node) -> bool:
    """Tell whether the empty text matches."""
    match node:
        case Cat(parts=parts) | And(parts=parts):
            return all(map(nullable, parts))
        case Alt(options=options):
            return any(map(nullable, options))
        case Not(node=inner):
            return not nullable(inner)
        case Repeat(node=inner, low=low):
            return low == 0 or nullable(inner)
    return False


def _beginnings(node: Node) -> tuple[bool, bool]:
    """Whether texts may begin with a character that stands for itself, and with another."""
    if not _is_regular(node):
        first = first_bytes(lark(node))
        return not first <= {ord("\\")}, ord("\\") in first
    match node:
        case Chars(plain=plain, specials=specials):
            return bool(plain), bool(specials)
        case Cat(parts=parts):
            ends = (at for at, part in enumerate(parts) if not nullable(part))
            return _any_of(parts[: next(ends, len(parts)) + 1])
        case _:
            return _any_of(_parts(node))


def _any_of(nodes: Sequence[Node]) -> tuple[bool, bool]:
    found = [_beginnings(node) for node in nodes]
    return any(plain for plain, _ in found), any(special for _, special in found)


def _without_empty(node: Node) -> Node:
    match node:
        case Repeat(node=inner, high=high) if not nullable(inner):
            return repeat(inner, 1, high)
        case Alt(options=options):
            return alt(*(_without_empty(option) if nullable(option) else option for option in options))
        case Cat(parts=()):
            return NOTHING
    return And([node, Not(EMPTY)])


def derivative(node: Node, special: str) -> Node:
    """Find what may follow where a text begins with this character (Brzozowski's derivative)."""
    match node:
        case Chars(specials=specials):
            return EMPTY if special in specials else NOTHING
        case Cat(parts=parts):
            return _cat_derivative(parts, special)
        case Alt(options=options):
            return alt(*(derivative(option, special) for option in options))
        case And(parts=parts):
            rests = [derivative(part, special) for part in parts]
            if NOTHING in rests:
                return NOTHING
            bounds = [rest for rest in rests if not (isinstance(rest, Not) and rest.node is NOTHING)]
            return bounds[0] if len(bounds) == 1 else And(bounds or [Repeat(ANY, 0, None)])
        case Not(node=inner):
            return Not(derivative(inner, special))
        case Repeat(node=inner, low=low, high=high):
            rest = derivative(inner, special)
            if rest is NOTHING:
                return NOTHING
            left = repeat(inner, max(low - 1, 0), None if high is None else high - 1)
            return cat(rest, left)
    raise TypeError(node)


def _cat_derivative(parts: Sequence[Node], special: str) -> Node:
    options = []
    for at, part in enumerate(parts):
        rest = derivative(part, special)
        if rest is not NOTHING:
            options.append(cat(rest, *parts[at + 1 :]))
            if len(options) * len(parts) > 10 * _MAX_PARTS:
                raise UnescapableError("too much of a terminal may be left out")
        if not nullable(part):
            break
    return alt(*options)


def lark(node: Node) -> str:
    """Write the expression inside of a JSON string, as it stands in Lark. Raises UnescapableError."""
    return _bounded(in_slashes(_pattern(node)) if _is_regular(node) else _expression(node))


def _bounded(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise UnescapableError("a terminal is too large")
    return text


def _is_regular(node: Node) -> bool:
    """Whether regular expressions can say it."""
    match node:
        case And() | Not() | Alt(options=()):
            return False
        case Cat(parts=inner) | Alt(options=inner):
            return all(map(_is_regular, inner))
        case Repeat(node=repeated):
            return _is_regular(repeated)
    return True


def _pattern(node: Node) -> str:
    match node:
        case Chars(plain=plain, specials=specials):
            options = [plain] if plain else []
            if specials:
                escapes = "|".join(ESCAPES[special].replace("\\", r"\\") for special in specials)
                options.append(rf"\\(?:{escapes})")
            return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"
        case Cat(parts=parts):
            return _bounded("".join(map(_pattern, parts)))
        case Alt(options=options):
            return _bounded(f"(?:{'|'.join(map(_pattern, options))})")
        case Repeat(node=inner, low=low, high=high):
            return f"(?:{_pattern(inner)}){times(low, high)}"
    raise TypeError(node)


def _expression(node: Node) -> str:
    if _is_regular(node):
        return in_slashes(_pattern(node))
    joined: Callable[[str, Sequence[Node]], str] = lambda mark, nodes: (  # noqa: E731
        _bounded(f"({mark.join(map(_expression, nodes))})")
    )
    match node:
        case Alt(options=()):
            return '("" & ~"")'
        case Cat(parts=parts):
            return joined(" ", parts)
        case Alt(options=options):
            return joined(" | ", options)
        case And(parts=parts):
            return joined(" & ", parts)
        case Not(node=inner):
            return f"({in_slashes(_pattern(Repeat(ANY, 0, None)))} & ~{_expression(inner)})"
        case Repeat(node=inner, low=low, high=high):
            return f"({_expression(inner)}){times(low, high)}"
    raise TypeError(node)
