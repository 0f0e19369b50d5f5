"""Reads GBNF as `llama_grammar_parser` of llama.cpp does, and says where it cannot.

Two things differ: repetitions without end stay refused where llama.cpp would run for ever (`{3,1}`), and an
upper limit above 2000, which llama.cpp drops, is an error.
"""

import re
from dataclasses import dataclass, field

from caravan.grammars.gbnf.syntax import GbnfError, Grammar, Item, Ref, Rule, Sequence, Tokens, characters
from caravan.grammars.gbnf.tokens import TokenNames, resolved

# llama.cpp's MAX_REPETITION_THRESHOLD.
MAX_REPETITION = 2000

_NAME = re.compile(r"[A-Za-z0-9-]+")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_DIGITS = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9A-Fa-f]*")
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n"} | {c: c for c in '\\"[]-'}
_SIMPLE_REPETITIONS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass
class _Group:
    """A rule or a group that is being read. `mark` is where the last symbol begins in the sequence."""

    rule: int
    is_nested: bool
    offset: int
    num_symbols_before: int = 0
    alternatives: list[Sequence] = field(default_factory=list)
    sequence: list[Item] = field(default_factory=list)
    mark: int = 0
    # As llama.cpp counts, for its limit on repetitions of repetitions.
    num_previous_rules: int = 1

    def begin_symbol(self) -> None:
        self.mark = len(self.sequence)
        self.num_previous_rules = 1

    def end_alternative(self) -> None:
        self.alternatives.append(tuple(self.sequence))
        self.sequence = []
        self.begin_symbol()


class _Parser:
    def __init__(self, text: str, names: TokenNames | None) -> None:
        self._text = text
        self._names = names
        self._at = 0
        self._rules: list[Rule] = []
        self._indices: dict[str, int] = {}
        # Rules as llama.cpp would number them.
        self._num_symbols = 0

    def parse(self) -> Grammar:
        self._skip(lines=True)
        while self._at < len(self._text):
            self._rule()
        for rule in self._rules:
            if not rule.alternatives:
                raise GbnfError(f"there is no rule '{rule.name}'", rule.offset)
        if "root" not in self._indices:
            raise GbnfError("there is no rule 'root'", 0)
        return Grammar(self._rules, self._indices["root"])

    def _rule(self) -> None:
        offset = self._at
        name = self._match(_NAME)
        if not name:
            raise self._expected("the name of a rule")
        rule = self._named(name, offset)
        self._skip()
        if not self._text.startswith("::=", self._at):
            raise self._expected("'::='")
        self._at += 3
        self._skip(lines=True)
        self._rules[rule].offset = offset
        self._alternatives(rule)
        if self._at < len(self._text) and self._text[self._at] not in "\r\n":
            raise self._expected("a symbol, '|' or the end of the line")
        self._skip(lines=True)

    def _alternatives(self, rule: int) -> None:
        """All of a rule's right side; what is open is a list instead of the interpreter's stack."""
        groups = [_Group(rule, False, self._at)]
        while groups:
            group = groups[-1]
            char = self._peek()
            if char == "|":
                self._at += 1
                group.end_alternative()
                self._skip(lines=True)
            elif char == "(":
                groups.append(self._opened(group))
            elif char == ")" and group.is_nested:
                self._close(groups)
            elif not self._symbol(group, char):
                if group.is_nested:
                    raise self._expected("')'")
                self._close(groups)

    def _opened(self, outer: _Group) -> _Group:
        before, offset = self._num_symbols, self._at
        self._at += 1
        self._skip(lines=True)
        return _Group(self._generated(self._rules[outer.rule].name, offset), True, offset, before)

    def _close(self, groups: list[_Group]) -> None:
        group = groups.pop()
        group.end_alternative()
        self._rules[group.rule].alternatives = tuple(group.alternatives)
        if not group.is_nested:
            return
        outer = groups[-1]
        outer.begin_symbol()
        outer.num_previous_rules = max(1, self._num_symbols - group.num_symbols_before)
        outer.sequence.append(Item(Ref(group.rule)))
        self._at += 1
        self._skip(lines=outer.is_nested)

    def _symbol(self, group: _Group, char: str) -> bool:
        """Read what begins with a character, if anything does."""
        if char in ("*", "+", "?", "{"):
            self._repetition(group, char)
            return True
        name = self._match(_NAME) if char else ""
        group_items: list[Item]
        if name:
            group_items = [Item(Ref(self._named(name, self._at - len(name))))]
        elif char == '"':
            group_items = self._literal()
        elif char == "[":
            group_items = self._class()
        elif char == ".":
            self._at += 1
            group_items = [Item(characters((), negated=True))]
        elif char in ("<", "!"):
            group_items = [Item(self._tokens())]
        else:
            return False
        group.begin_symbol()
        group.sequence += group_items
        self._skip(lines=group.is_nested)
        return True

    def _literal(self) -> list[Item]:
        self._at += 1
        items = []
        while self._peek() != '"':
            code = self._char()
            items.append(Item(characters([(code, code)])))
        self._at += 1
        return items

    def _class(self) -> list[Item]:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            low = high = self._char()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = self._char()
            ranges.append((low, high))
        self._at += 1
        # A class of nothing, negated or not, is no symbol to llama.cpp: it matches the empty text.
        return [Item(characters(ranges, negated=negated))] if ranges else []

    def _char(self) -> int:
        """The code point of a character, escaped or not."""
        char = self._peek()
        if not char:
            raise GbnfError("the text ends within a literal or a class", self._at)
        if char != "\\":
            self._at += 1
            return ord(char)
        kind = self._text[self._at + 1 : self._at + 2]
        if kind in _HEX_DIGITS:
            length = _HEX_DIGITS[kind]
            digits = self._text[self._at + 2 : self._at + 2 + length]
            if len(digits) < length or not _HEX.fullmatch(digits):
                raise self._expected(f"{length} hexadecimal digits after '\\{kind}'")
            self._at += 2 + length
            return int(digits, 16)
        if kind not in _ESCAPES or not kind:
            raise GbnfError(f"there is no escape '\\{kind}'", self._at)
        self._at += 2
        return ord(_ESCAPES[kind])

    def _tokens(self) -> Tokens:
        offset = self._at
        negated = self._peek() == "!"
        self._at += negated
        if self._peek() != "<":
            raise self._expected("'<'")
        end = self._text.find("]>" if self._text.startswith("<[", self._at) else ">", self._at)
        if end < 0:
            raise GbnfError("this token has no end", self._at)
        written = self._text[self._at : end + (2 if self._text[end] == "]" else 1)]
        self._at += len(written)
        return resolved(written, offset, self._names, negated=negated)

    def _repetition(self, group: _Group, char: str) -> None:
        offset = self._at
        low, high = self._limits(char, lines=group.is_nested)
        if group.mark == len(group.sequence):
            raise GbnfError(f"there is nothing before '{char}' to repeat", offset)
        num_rules = high or low or 1
        if low > MAX_REPETITION or num_rules * group.num_previous_rules > MAX_REPETITION:
            raise GbnfError(f"this is repeated more than {MAX_REPETITION} times in all", offset)
        if high is not None and high < low:
            raise GbnfError(f"at most {high} is less than at least {low}", offset)
        group.num_previous_rules *= num_rules
        self._num_symbols += 1 if high is None else high - low
        repeated = group.sequence[group.mark :]
        del group.sequence[group.mark :]
        if high == 0:
            return
        if len(repeated) == 1 and repeated[0].is_single:
            symbol = repeated[0].symbol
        else:
            rule = self._generated(self._rules[group.rule].name, offset, counted=False)
            self._rules[rule].alternatives = (tuple(repeated),)
            symbol = Ref(rule)
        group.sequence.append(Item(symbol, low, high))

    def _limits(self, char: str, *, lines: bool) -> tuple[int, int | None]:
        self._at += 1
        self._skip(lines=lines)
        if char != "{":
            return _SIMPLE_REPETITIONS[char]
        low = self._number()
        self._skip(lines=lines)
        high: int | None = low
        if self._peek() == ",":
            self._at += 1
            self._skip(lines=lines)
            high = self._number() if _DIGITS.match(self._text, self._at) else None
            self._skip(lines=lines)
        if self._peek() != "}":
            raise self._expected("'}'")
        self._at += 1
        self._skip(lines=lines)
        return low, high

    def _number(self) -> int:
        digits = self._match(_DIGITS)
        if not digits:
            raise self._expected("a number")
        return int(digits) if len(digits) < 10 else 10**9

    def _named(self, name: str, offset: int) -> int:
        if name not in self._indices:
            self._indices[name] = self._generated(name, offset)
        return self._indices[name]

    def _generated(self, name: str, offset: int, *, counted: bool = True) -> int:
        self._num_symbols += counted
        self._rules.append(Rule(name, offset))
        return len(self._rules) - 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _skip(self, *, lines: bool = False) -> None:
        self._match(_SPACE_AND_LINES if lines else _SPACE)

    def _expected(self, what: str) -> GbnfError:
        return GbnfError(f"{what} is expected", self._at)


def parse(text: str, names: TokenNames | None) -> Grammar:
    """Read the grammar that a text is; raises GbnfError. Without `names` it may name no tokens."""
    return _Parser(text, names).parse()
