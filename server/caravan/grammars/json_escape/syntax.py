"""llguidance's dialect of Lark, read as far as it has a counterpart inside of JSON strings."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from caravan.grammars.json_escape.nodes import (
    EMPTY,
    And,
    Name,
    Node,
    Not,
    Pattern,
    UnescapableError,
    alt,
    cat,
    repeat,
)
from caravan.grammars.lark_text import literal_pattern

_SYNTAX = re.compile(
    r"""(?P<space>[ \t\r]+|(?:\#|//)[^\n]*)
    |(?P<newline>\n)
    |(?P<string>"(?:\\.|[^"\\])*"i?)
    |(?P<regex>/(?:\\.|[^/\\])+/[imslux]*)
    |(?P<statement>%[a-z]+)
    |(?P<name>!?[?_]?[a-z][\w-]*|_?[A-Z][\w-]*)
    |(?P<number>[+-]?[0-9]+)
    |(?P<special><[^<>\s]+>|@[\w-]+)
    |(?P<mark>\.\.|->|::|.)""",
    re.VERBOSE,
)
_FLAGGED_STRING = re.compile(r"(?P<quoted>.*)(?P<flag>i)\Z", re.DOTALL)
_COUNTS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
# What ends a row of expressions.
_ENDS = frozenset({"\n", "|", "->", "}", ")", "]", "&", ""})


_INTEGER = "[0-9]+"
_SIGN = r"(\+|-)?"
_EXPONENT = r"[eE](\+|-)?[0-9]+"
_FLOAT = rf"([0-9]+\.[0-9]*|\.[0-9]+)({_EXPONENT})?|[0-9]+{_EXPONENT}"
_NUMBER = f"{_INTEGER}|{_FLOAT}"

# The terminals that `%import common` offers, as llguidance defines them.
_COMMON = {
    "DIGIT": "[0-9]",
    "HEXDIGIT": "[a-fA-F0-9]",
    "INT": _INTEGER,
    "SIGNED_INT": _SIGN + _INTEGER,
    "DECIMAL": r"([0-9]+\.[0-9]*)|(\.[0-9]+)",
    "_EXP": _EXPONENT,
    "FLOAT": _FLOAT,
    "SIGNED_FLOAT": f"{_SIGN}({_FLOAT})",
    "NUMBER": _NUMBER,
    "SIGNED_NUMBER": f"{_SIGN}({_NUMBER})",
    "ESCAPED_STRING": r"\"([^\"\\]|\\.)*\"",
    "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]",
    "LETTER": "[A-Za-z]",
    "WORD": "[A-Za-z]+",
    "CNAME": "[_A-Za-z][_A-Za-z0-9]*",
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(\r?\n)+",
    "SH_COMMENT": r"#[^\n]*",
    "CPP_COMMENT": r"//[^\n]*",
    "C_COMMENT": r"\/\*[^*]*\*+(?:[^/*][^*]*\*+)*\/",
    "SQL_COMMENT": r"--[^\n]*",
}


@dataclass
class Grammar:
    """Rules and terminals by their names, and what may stand behind any terminal."""

    rules: dict[str, Node] = field(default_factory=dict)
    terminals: dict[str, Node] = field(default_factory=dict)
    ignored: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def grammar(text: str) -> Grammar:
    """Read a sound grammar. Raises UnescapableError."""
    return _Reading(text).grammar()


def string_value(text: str) -> str:
    """Read what a string in Lark stands for."""
    # JSON's escapes, and one more.
    value = json.loads(re.sub(r"\\(?:x(..)|(.))", lambda m: rf"\u00{m[1]}" if m[1] else m[0], text))
    assert isinstance(value, str)
    return value


def _tokens(text: str) -> Iterator[_Token]:
    for match in _SYNTAX.finditer(text):
        assert match.lastgroup is not None
        if match.lastgroup != "space":
            yield _Token(match.lastgroup, match[0])
    yield _Token("newline", "\n")
    yield _Token("end", "")


class _Reading:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._found = Grammar()

    def grammar(self) -> Grammar:
        while (token := self._take()).kind != "end":
            if token.kind == "statement":
                self._statement(token.text)
            elif token.kind == "name":
                self._definition(token.text)
            elif token.kind != "newline":
                raise _misunderstood(token.text)
        return self._found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _accept(self, text: str) -> bool:
        is_next = self._next.text == text and self._next.kind in ("mark", "newline")
        self._at += is_next
        return is_next

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _misunderstood(self._next.text)

    def _statement(self, keyword: str) -> None:
        if keyword == "%ignore":
            self._found.ignored.append(self._options())
        elif keyword == "%import":
            self._import()
        else:
            raise _unsupported(keyword)

    def _import(self) -> None:
        """`common.A`, `common.A -> B` or `common (A, B)`."""
        words: list[str] = []
        while self._next.text != "\n":
            token = self._take()
            if token.kind in ("name", "mark"):
                words.append(token.text)
        names = [word for word in words[1:] if word[0].isalpha() or word[0] == "_"]
        local = names[1:] if "->" in words else names
        for name, as_name in zip(names, local, strict=False):
            if name not in _COMMON:
                raise _unsupported(f"%import common.{name}")
            self._found.terminals[as_name] = Pattern(_COMMON[name], "")

    def _definition(self, name: str) -> None:
        if self._next.text == "::":
            raise _unsupported(f"{name}::_")
        if self._accept("["):
            raise _unsupported(f"{name}[{self._next.text}]")
        self._expect(":")
        is_terminal = name.lstrip("_")[0].isupper()
        defined = self._found.terminals if is_terminal else self._found.rules
        defined[_plain_name(name)] = self._options()

    def _options(self) -> Node:
        options = [self._conjunction()]
        while self._is_option_next():
            options.append(self._conjunction())
        return alt(*options)

    def _is_option_next(self) -> bool:
        at = self._at
        while self._accept("\n"):
            pass
        if self._accept("|"):
            return True
        self._at = at
        return False

    def _conjunction(self) -> Node:
        parts = [self._row()]
        while self._accept("&"):
            parts.append(self._row())
        if self._accept("->"):
            self._take()
        return parts[0] if len(parts) == 1 else And(parts)

    def _row(self) -> Node:
        parts: list[Node] = []
        while self._next.text not in _ENDS:
            parts.append(self._counted(self._atom()))
        return cat(*parts)

    def _counted(self, node: Node) -> Node:
        if self._next.text in _COUNTS:
            return repeat(node, *_COUNTS[self._take().text])
        if self._next.text == "~" and self._tokens[self._at + 1].kind == "number":
            self._take()
            low = high = int(self._take().text)
            if self._accept(".."):
                high = int(self._take().text)
            return repeat(node, low, high)
        if self._accept("{"):
            low = int(self._take().text) if self._next.kind == "number" else 0
            most: int | None = low
            if self._accept(","):
                most = int(self._take().text) if self._next.kind == "number" else None
            self._expect("}")
            return repeat(node, low, most)
        return node

    def _atom(self) -> Node:
        if self._accept("~"):
            return Not(self._atom())
        if self._accept("("):
            node = self._options()
            self._expect(")")
            return node
        if self._accept("["):
            node = self._options()
            self._expect("]")
            return repeat(node, 0, 1)
        return self._value(self._take())

    def _value(self, token: _Token) -> Node:
        if token.kind == "string":
            if self._accept(".."):
                first, last = (ord(string_value(text)) for text in (token.text, self._take().text))
                return Pattern(rf"[\x{{{first:X}}}-\x{{{last:X}}}]", "")
            return _string(token.text)
        if token.kind == "regex":
            text, _, flags = token.text[1:].rpartition("/")
            return Pattern(text, flags)
        if token.kind == "name":
            if self._next.text == "::":
                raise _unsupported(f"{token.text}::")
            return Name(_plain_name(token.text))
        raise _unsupported(token.text)


def _string(text: str) -> Node:
    flagged = _FLAGGED_STRING.match(text)
    value = string_value(flagged["quoted"] if flagged else text)
    return Pattern(literal_pattern(value), "i" if flagged else "") if value else EMPTY


def _plain_name(name: str) -> str:
    return name.lstrip("!?")


def _unsupported(what: str) -> UnescapableError:
    return UnescapableError(f"'{what}' is not supported in the input of a tool")


def _misunderstood(what: str) -> UnescapableError:
    return UnescapableError(f"'{what}' is not understood in the input of a tool")
