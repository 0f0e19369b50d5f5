"""Single tool calls: of well-known tools, and of tools that nobody has seen before."""

from random import Random
from typing import Any

from deploy.resident.data.tool_kinds import Call, known_call, tool
from deploy.resident.data.words import (
    CITIES,
    COLOURS,
    FOODS,
    NOUNS,
    OBJECTS,
    VERBS,
    a_name,
    a_word,
    made_up_word,
)


def _parameter(rng: Random) -> tuple[str, dict[str, Any], Any]:
    name = rng.choice(
        (
            rng.choice(NOUNS),
            rng.choice(NOUNS),
            rng.choice(OBJECTS),
            made_up_word(rng),
            rng.choice("id name title size count limit mode target level date text path".split()),
        )
    )
    kind = rng.choice("string string string integer integer number boolean enum".split())
    if kind == "enum":
        options = rng.sample((*COLOURS, *FOODS), 2) + ([made_up_word(rng)] if rng.random() < 0.5 else [])
        return name, {"type": "string", "enum": options}, rng.choice(options)
    if kind == "boolean":
        return name, {"type": kind}, rng.random() < 0.5
    if kind == "integer":
        return name, {"type": kind}, rng.randint(0, 999)
    if kind == "number":
        return (
            name,
            {"type": kind},
            rng.choice((rng.randint(0, 99), rng.randint(1, 99) + rng.choice((0.5, 0.25)))),
        )
    return (
        name,
        {"type": kind},
        rng.choice((a_word(rng), a_word(rng), made_up_word(rng), a_name(rng), rng.choice(CITIES))),
    )


def _named(rng: Random, verb: str, noun: str) -> str:
    roll = rng.random()
    if roll < 0.65:
        return f"{verb}_{noun}"
    return f"{verb}{noun.capitalize()}" if roll < 0.85 else f"{noun}_{verb}"


def _spoken(value: Any) -> str:  # noqa: ANN401
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def invented_call(rng: Random) -> Call:
    """A call of a tool nobody has seen before: everything in it must be copied."""
    verb, noun = rng.choice(VERBS), rng.choice(NOUNS)
    name, subject = _named(rng, verb, noun), f"the {noun}"
    description = rng.choice((f"{verb.capitalize()} the {noun}.", f"{verb.capitalize()} a {noun}.", ""))
    if rng.random() < 0.25:
        name = made_up_word(rng) + rng.choice(("", "_" + made_up_word(rng)))
        verb, subject, description = rng.choice(("use", "call", "run")), name, f"The {name} tool."
    drawn = {
        key: (schema, value)
        for key, schema, value in (_parameter(rng) for _ in range(rng.choice((0, 1, 1, 2, 2, 3))))
    }
    used = [key for key in drawn if len(drawn) == 1 or rng.random() < 0.85]
    arguments = {key: drawn[key][1] for key in used}
    spec = tool(name, description, {key: schema for key, (schema, _) in drawn.items()}, used)
    words = [
        rng.choice(("{k} {v}", "{k} {v}", "{k} = {v}")).format(k=key, v=_spoken(arguments[key]))
        for key in used
    ]
    link = rng.choice((" with ", " with ", ": ", ", "))
    request = f"{verb.capitalize()} {subject}" + (link + " and ".join(words) if words else "")
    request = rng.choice(("{r}.", "{r}.", "{r}", "Please {l}.", "Can you {l}?", "I want you to {l}.")).format(
        r=request, l=request[0].lower() + request[1:]
    )
    return Call(spec, request, arguments, str(next(iter(arguments.values()), name)))


def a_call(rng: Random) -> Call:
    return known_call(rng) if rng.random() < 0.5 else invented_call(rng)
