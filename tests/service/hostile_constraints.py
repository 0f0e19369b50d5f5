"""Constraints that mean harm, in families: huge, deep, circular, ambiguous, empty, malformed."""

from typing import Any

Fields = dict[str, Any]

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def gbnf() -> list[Fields]:
    """GBNF: what has no end, no beginning, no place, or no measure."""
    texts = [
        "\0",
        "root",
        "root ::=",
        "root ::= \0",
        'root ::= "\ud7ff\U0010ffff"',
        'root ::= "' + "\\x" * 300,
        'root ::= "a" ::= "b"',
        "root ::= <|im_start|>",
        "root ::= <[99999999999999999999]>",
        "root ::= !<[3]>{2000}",
        "root ::= " + "!<[3]> " * 3000,
        "root ::= " + " | ".join(f"<[{n}]>" for n in range(70)),
        'root ::= (!<[3]> | "a")*',
        "root ::= " + "([a-z]" * 2000 + ")?" * 2000,
        'root ::= "a" | root root',
        "root ::= root?",
        'root ::= ("a"? root?)*',
    ]
    for count in (10, 100, 1000, 2000, 2001, 10**9, 10**40):
        texts += [f'root ::= "a"{{{count}}}', f"root ::= ([a-z]+ [0-9]*){{0,{count}}}"]
    for depth in (3, 8, 30):
        texts += [
            "root ::= " + "(" * depth + '"a"' + "{9}b?)" * depth + '\nb ::= "b"',
            "root ::= " + "(" * depth + '"a"' + "*)" * depth,
            _chain("r{next} r{next}?", depth, '"x"'),
        ]
    for count in (100, 3000):
        texts += [
            "root ::= " + "(" * count,
            "root ::= " + "(" * count + '"a"' + ")" * count,
            "root ::= " + " | ".join(f'"{n}" root' for n in range(count)),
            "root ::= " + " ".join(f"[{_LETTERS[n % 26]}]*" for n in range(count)),
            _chain("r{next}", count, '"(" root ")"'),
            _chain("r{next}", count, "r0"),
            "\n".join(f"r{n} ::= [a-z]" for n in range(count)),
        ]
    return [{"grammar": text} for text in texts]


def _chain(link: str, count: int, end: str) -> str:
    """Rules that each refer to the next."""
    rules = (f"r{n} ::= {link.format(next=n + 1)}\n" for n in range(count))
    return f"root ::= r0\n{''.join(rules)}r{count} ::= {end}"


def lark() -> list[Fields]:
    """Lark: the same in the other notation."""
    texts = ["start:", "start: /a", 'start: "a" "', "start: x", "START: /a/", "%ignore /a*/"]
    texts.append('start: start start | "a"')
    for count in (10, 1000, 100_000):
        texts += [
            f'start: "a"{{{count}}}',
            f"start: /a{{{count}}}/",
            f'start: ("a" | "b" start?){{0,{count}}}',
        ]
    for depth in (5, 300, 4000):
        texts += ["start: " + "(" * depth + '"a"' + ")?" * depth, "start: " + "[" * depth]
    return [{"guided_grammar": text} for text in texts]


def patterns() -> list[Fields]:
    """Regular expressions, alone and in schemas."""
    found = ["(", ")", "[", "a**", "(?<=a)b", "\\1", "\\p{None}", "a{2,1}", "(?P<n>a)(?P=n)", "\\", "$^a"]
    for count in (20, 200, 1000):
        found += [
            f"(a?){{{count}}}a{{{count}}}",
            "(a|aa)+" * (count // 10),
            f"(.*a.{{{count}}}){{3}}",
            f"((a{{{count}}}){{{count}}}){{{count}}}",
            "(" * count + "a" + ")*" * count,
            "|".join(f"x{{{n}}}" for n in range(count)),
            f"(\\w{{1,{count}}}\\s){{{count // 10}}}",
        ]
    return [{"guided_regex": one} for one in found] + [
        {"json_schema": {"type": "string", "pattern": one}} for one in found
    ]


def choices() -> list[Fields]:
    """Choices: many, long, alike, odd."""
    return [
        {"guided_choice": one}
        for one in (
            [""],
            ["", ""],
            ["\0"],
            ["\x00" * 1000],
            ["a" * 100_000],
            ["é" * n for n in range(1, 500)],
            ["a" * n for n in range(1, 2000)],
            [f"{n:0100}" for n in range(2500)],
            ["(?i)a", ".*", "\\", "/", '"'],
            [chr(code) for code in range(1, 3000)],
        )
    ]


def schemas() -> list[Fields]:
    """JSON schemas: circles, depth, width, contradictions, and keywords of the wrong kind."""
    found: list[Any] = [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"$defs": {"a": {"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "object", "additionalProperties": {"$ref": "#"}, "minProperties": 2},
        {"$ref": "#/$defs/%00"},
        {"$ref": "#/$defs/" + "a/" * 5000},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"minimum": 5, "type": "integer"}, {"maximum": 4}]},
        {"type": "string", "minLength": 9, "maxLength": 3},
        {"type": "array", "minItems": 9, "maxItems": 3},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"enum": [{"a": [[[[[[1]]]]]]}] * 3000},
        {"const": "\ud7ff\u0000"},
        {"format": "date", "type": "string", "maxLength": 3},
        {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6},
        {"type": "number", "minimum": 1e308, "maximum": 1e-308},
        {"type": "integer", "minimum": -(10**60), "maximum": 10**60},
    ]
    odd: tuple[Any, ...] = (None, -1, [[]], {"a": 1})
    keywords = "type enum $ref anyOf properties required items minLength pattern format"
    for keyword in keywords.split():
        found += [{keyword: value} for value in odd]
    for count in (30, 300, 3000):
        found += [
            {"anyOf": [{"const": f"{n}"} for n in range(count)]},
            {"oneOf": [{"const": n} for n in range(count)]},
            {"type": "object", "properties": {f"p{n}": {"enum": [n]} for n in range(count)}},
            {"type": "object", "patternProperties": {f"^{n}a*": {"const": n} for n in range(count)}},
            {"type": "array", "prefixItems": [{"type": "integer"}] * count, "minItems": count},
            {"type": "string", "minLength": count * 100, "maxLength": count * 100},
            {
                "allOf": [
                    {"type": "object", "properties": {f"p{n}": {"type": "string"}}} for n in range(count)
                ]
            },
            {"type": "array", "minItems": count * 10, "items": {"type": "array", "minItems": count * 10}},
        ]
    return [{"json_schema": one} for one in found]


ALL = [*gbnf(), *lark(), *patterns(), *choices(), *schemas()]
