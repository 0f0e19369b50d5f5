"""Constraints that mean harm, in families: huge, deep, circular, ambiguous, empty, malformed."""

import json
from pathlib import Path
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


def large() -> list[Fields]:
    """What is sound, and near what is allowed, or above it."""
    letters = "ABCDEFGHIJ"
    names = [a + b + c + d for a in letters for b in letters for c in letters for d in letters[:4]]
    rules = "".join(f"{name}: {after}\n" for name, after in zip(names, [*names[1:], "ZZ"], strict=True))
    groups = ([{"properties": {f"p{i}{j}": {"type": "string"}}} for j in range(5)] for i in range(10))
    return [
        {"json_schema": {"enum": [f"value {i}" for i in range(10_000)]}},
        {"json_schema": {"enum": list(range(20_000))}},
        {"guided_choice": [f"item {i}" for i in range(10_000)]},
        {"guided_choice": ["x" * 100 + str(i) for i in range(10_000)]},
        {"guided_regex": "|".join(map(str, range(3000)))},
        {"guided_regex": "(" * 5000 + "a" + ")" * 5000},
        {"json_schema": _linked(2000)},
        {"json_schema": _nested(60)},
        {"json_schema": {"properties": {f"p{i}": {"type": "string"} for i in range(2000)}}},
        {"guided_grammar": "start: " + "(" * 20_000},
        {"guided_grammar": "start: " + '"a" ' * 15_000},
        {"guided_grammar": "start: " + "|".join(f'"{i}"' for i in range(5000))},
        {"guided_grammar": f'start: AAAA\n{rules}ZZ: "a"'},
        {"guided_grammar": f'start: aaaa\n{rules.lower()}zz: "a"'},
        {"guided_grammar": "start: r\nr: " + " r\n".join(f"r{c} r{c} | \nr{c}:" for c in _LETTERS) + ' "a"'},
        {"json_schema": {"allOf": [{"anyOf": group} for group in groups]}},
    ]


def _linked(count: int) -> dict[str, Any]:
    links = {
        f"d{i}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}}, "required": ["a"]}
        for i in range(count)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**links, f"d{count}": {"type": "null"}}}


def _nested(count: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(count):
        schema = {"type": "array", "items": schema}
    return schema


def broad() -> list[Fields]:
    """Many rules that all lead to each other, so that every place has all of them in view."""
    found: list[Fields] = []
    for count in (100, 700, 3000):
        names = ["x" + str(n).translate(str.maketrans("0123456789", _LETTERS[:10])) for n in range(count)]
        for link in ("e e", 'e "a"?', '"a" {name} | "b"'):
            rules = "\n".join(f"{name}: {link.format(name=name)}" for name in names)
            found.append({"guided_grammar": f'start: e\ne: "a" | {" | ".join(names)}\n{rules}'})
        rules = "\n".join(f'{name} ::= "a" e e | "b" {name}' for name in names)
        found.append({"grammar": f'root ::= e\ne ::= "a" | {" | ".join(names)}\n{rules}'})
        found.extend({"json_schema": schema} for schema in crossing(names[:1600], names[:1240]))
    return found


def crossing(inner: list[str], outer: list[str]) -> list[dict[str, Any]]:
    """Any of some objects or arrays, each of which leads to any of some others."""
    place = {"x": {"$ref": "#/$defs/v"}}
    lists = [{"items": place["x"], "minItems": number} for number in range(len(outer))]
    definitions = {"$defs": {"v": {"anyOf": [{"properties": {name: {"const": 1}}} for name in inner]}}}
    return [
        {"anyOf": [{"properties": place, "required": ["x", name]} for name in outer], **definitions},
        {
            "properties": place,
            "required": ["x"],
            "anyOf": [{"required": [name]} for name in outer],
            **definitions,
        },
        {"anyOf": [{"type": "array", **items} for items in lists], **definitions},
    ]


def listed() -> list[Fields]:
    """Those that are easiest read as they are sent."""
    path = Path(__file__).parent / "data" / "hostile.json"
    found: list[Fields] = json.loads(path.read_text(encoding="utf-8"))
    return found


ALL = [
    *gbnf(),
    *lark(),
    *patterns(),
    *choices(),
    *schemas(),
    *large(),
    *broad(),
    *listed(),
]
