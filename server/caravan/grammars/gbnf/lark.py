"""Writes a grammar for llguidance, in its dialect of Lark."""

from collections.abc import Iterable

from caravan.grammars.gbnf.analysis import sound
from caravan.grammars.gbnf.conflicts import faithful
from caravan.grammars.gbnf.parser import parse
from caravan.grammars.gbnf.plan import (
    Loop,
    Part,
    Parts,
    Plan,
    Planner,
    RulePart,
    Terminal,
    TokenPart,
    token_parts,
)
from caravan.grammars.gbnf.syntax import Chars, GbnfError, Item, Ref, Sequence, Tokens
from caravan.grammars.gbnf.tails import looped
from caravan.grammars.gbnf.tokens import TokenNames, has_text
from caravan.grammars.lark_text import times

# Of characters; a fuller grammar is refused by llguidance anyway.
_MAX_SIZE = 4_000_000
# A character that stands for a token where there is no vocabulary.
_PLACEHOLDER = "/\\x{10FFFD}/"


class Translation:
    """A GBNF grammar in Lark. `without_tokens` is the same with a character in place of each token."""

    def __init__(self, text: str, names: TokenNames | None) -> None:
        """Raises GbnfError."""
        grammar = looped(sound(parse(text, names)))
        planner = Planner(grammar)
        named = token_parts(planner.plan({}))
        textual = frozenset(tokens for tokens in named if names is not None and _is_textual(tokens, names))
        plan = faithful(planner, textual)
        self.without_tokens = _Writer(planner, plan).text(dict.fromkeys(named, _PLACEHOLDER))
        self.lark = self.without_tokens
        if names is not None and named:
            self.lark = _Writer(planner, plan).text(_token_texts(named, names))


class _Writer:
    """Writes each rule and each terminal that is used once, under a name of its own."""

    def __init__(self, planner: Planner, plan: Plan) -> None:
        self._planner = planner
        self._plan = plan
        self._lines: list[str] = []
        self._size = 0
        self._terminals: dict[Sequence, str] = {}
        # Regular rules that terminals are made of; of some, the part that is not empty.
        self._wanted: dict[tuple[int, bool], str] = {}
        self._waiting: list[tuple[int, bool]] = []
        self._tokens: dict[Tokens, str] = {}

    def text(self, tokens: dict[Tokens, str]) -> str:
        """Write the whole, with these texts for tokens."""
        self._tokens = tokens
        self._line("start", [self._parts(self._plan.start)])
        for rule, alternatives in self._plan.rules.items():
            self._line(f"r{rule}", map(self._parts, alternatives))
        while self._waiting:
            rule, is_filled = self._waiting.pop()
            sequences: Iterable[Sequence] = self._planner.grammar.rules[rule].alternatives
            if is_filled:
                sequences = [filled for one in sequences for filled in self._filled(one)]
            self._line(self._wanted[rule, is_filled], map(self._sequence, sequences))
        return "\n".join(self._lines)

    def _line(self, name: str, alternatives: Iterable[str]) -> None:
        line = f"{name}: {' | '.join(dict.fromkeys(alternatives))}"
        self._size += len(line)
        if self._size > _MAX_SIZE:
            raise GbnfError("it is too large", 0)
        self._lines.append(line)

    def _parts(self, parts: Parts) -> str:
        return " ".join(map(self._part, parts)) or '""'

    def _part(self, part: Part) -> str:
        match part:
            case Terminal(run, is_optional):
                return self._terminal(run) + ("?" if is_optional else "")
            case RulePart(rule, low, high):
                return f"r{rule}" + times(low, high)
            case TokenPart(tokens, low, high):
                return f"({self._tokens[tokens]})" + times(low, high)
            case Loop((Terminal(run, True),), _, high):
                return self._terminal(run) + times(0, high)
            case Loop(parts, low, high):
                return f"({self._parts(parts)})" + times(low, high)

    def _terminal(self, run: Sequence) -> str:
        name = self._terminals.get(run)
        if name is None:
            name = self._terminals[run] = f"T{len(self._terminals)}"
            self._line(name, map(self._sequence, self._filled(run)))
        return name

    def _filled(self, sequence: Sequence) -> list[Sequence]:
        """Sequences for the texts of a regular sequence that are not empty."""
        filled = []
        for index, item in enumerate(sequence):
            filled.append((self._filled_item(item), *sequence[index + 1 :]))
            self._size += len(sequence) - index
            if self._size > _MAX_SIZE:
                raise GbnfError("it has too many optional symbols in a row", 0)
            if not self._planner.is_nullable(item):
                break
        return filled

    def _filled_item(self, item: Item) -> Item:
        symbol = item.symbol
        if isinstance(symbol, Ref) and symbol.rule in self._planner.nullable:
            return Item(_Filled(symbol.rule), 1, item.high)
        return Item(symbol, max(item.low, 1), item.high)

    def _sequence(self, sequence: Sequence) -> str:
        return " ".join(map(self._item, sequence)) or '""'

    def _item(self, item: Item) -> str:
        match item.symbol:
            case Chars(ranges):
                text = _class(ranges)
            case Ref(rule):
                text = self._regular(rule, is_filled=isinstance(item.symbol, _Filled))
            case _:
                raise AssertionError("tokens are no part of terminals")
        return text + times(item.low, item.high)

    def _regular(self, rule: int, *, is_filled: bool) -> str:
        key = (rule, is_filled)
        if key not in self._wanted:
            self._wanted[key] = f"{'N' if is_filled else 'R'}{rule}"
            self._waiting.append(key)
        return self._wanted[key]


class _Filled(Ref):
    """The texts of a rule that are not empty."""


def _class(ranges: Iterable[tuple[int, int]]) -> str:
    return (
        "/["
        + "".join(f"\\x{{{low:X}}}" + (f"-\\x{{{high:X}}}" if high > low else "") for low, high in ranges)
        + "]/"
    )


def _is_textual(tokens: Tokens, names: TokenNames) -> bool:
    """Whether a token that is meant may come as text, too."""
    if tokens.negated:
        return True
    return bool(names.token_bytes(tokens.token_id)) and tokens.token_id not in names.marker_ids


def _token_texts(named: list[Tokens], names: TokenNames) -> dict[Tokens, str]:
    """Each kind of tokens as alternatives; llguidance sees one only of those that have a token in common."""
    single = dict.fromkeys(tokens.token_id for tokens in named)
    ends = names.end_of_generation_ids
    rest = [i for i in range(names.size) if i not in single and i not in ends and has_text(i, names)]
    texts = {}
    for tokens in named:
        ids = [tokens.token_id]
        if tokens.negated:
            ids = [i for i in single if i != tokens.token_id and i not in ends and has_text(i, names)]
        alternatives = [f"<[{token_id}]>" for token_id in ids]
        if tokens.negated and rest:
            alternatives.append(f"<[{','.join(_spans(rest))}]>")
        texts[tokens] = " | ".join(alternatives)
    return texts


def _spans(ids: list[int]) -> list[str]:
    """Ascending ids as ranges."""
    spans: list[list[int]] = []
    for token_id in ids:
        if spans and spans[-1][1] == token_id - 1:
            spans[-1][1] = token_id
        else:
            spans.append([token_id, token_id])
    return [f"{low}-{high}" for low, high in spans]
