"""Loops in place of recursion: the same texts, all short ones written here, and long ones at one pace."""

import functools
import itertools
import random

import pytest
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.gbnf.analysis import sound
from caravan.grammars.gbnf.parser import parse
from caravan.grammars.gbnf.syntax import Chars, GbnfError, Grammar, Item, Ref
from caravan.grammars.gbnf.tails import looped

from tests.engine.guided import SIZE, MarkerVocab, ids

MAX_LENGTH = 6


def texts(grammar: Grammar, max_length: int = MAX_LENGTH) -> set[str]:
    """All texts that are no longer than this."""
    known: list[set[str]] = [set() for _ in grammar.rules]

    def joined(left: set[str], right: set[str]) -> set[str]:
        return {a + b for a in left for b in right if len(a) + len(b) <= max_length}

    def of_item(item: Item) -> set[str]:
        one = known[item.symbol.rule] if isinstance(item.symbol, Ref) else characters_of(item)
        found = functools.reduce(joined, [one] * item.low, {""})
        last = found
        for _ in range(item.low, max_length if item.high is None else item.high):
            last = joined(last, one) - found
            found = found | last
        return found

    size = -1
    while size != (size := sum(map(len, known))):
        for index, rule in enumerate(grammar.rules):
            for alternative in rule.alternatives:
                found = functools.reduce(joined, map(of_item, alternative), {""})
                known[index] |= found
    return known[grammar.root]


def characters_of(item: Item) -> set[str]:
    assert isinstance(item.symbol, Chars)
    return {chr(code) for low, high in item.symbol.ranges for code in range(low, high + 1)}


def leads_back(grammar: Grammar) -> bool:
    """Whether some rule is recursive."""
    refs = [
        {i.symbol.rule for one in rule.alternatives for i in one if isinstance(i.symbol, Ref)}
        for rule in grammar.rules
    ]
    reached = {grammar.root}
    while any(refs[rule] - reached for rule in reached):
        reached = reached.union(*(refs[rule] for rule in reached))
    for _ in grammar.rules:
        refs = [one.union(*(refs[other] for other in one)) for one in refs]
    return any(rule in refs[rule] for rule in reached)


def random_grammar(seed: int) -> str:
    rng = random.Random(seed)
    names = ["root", "x", "y", "z"][: rng.randint(1, 4)]

    def symbol(depth: int) -> str:
        kind = rng.random()
        if kind < 0.5 or depth > 1:
            return rng.choice(['"a"', '"b"', "[ab]"])
        if kind < 0.8:
            return rng.choice(names)
        return f"({alternatives(depth + 1)})"

    def sequence(depth: int) -> str:
        items = [
            symbol(depth) + rng.choice(["", "", "", "?", "*", "+", "{2}"]) for _ in range(rng.randint(0, 2))
        ]
        tail = rng.choice(names) + rng.choice(["", "", "?", "*", "+"])
        if rng.random() < 0.3:
            tail = f"([ab] {tail})" + rng.choice(["", "?", "*", "+"])
        return " ".join([*items, *([tail] if rng.random() < 0.6 else [])]) or '"a"'

    def alternatives(depth: int) -> str:
        return " | ".join(sequence(depth) for _ in range(rng.randint(1, 3)))

    return "\n".join(f"{name} ::= {alternatives(0)}" for name in names)


def test_random_grammars_keep_their_texts() -> None:
    num_checked = num_changed = 0
    for seed in range(1200):
        try:
            grammar = sound(parse(random_grammar(seed), None))
        except GbnfError:
            # Nothing satisfies it, or it begins with itself.
            continue
        found = looped(grammar)
        num_checked += 1
        num_changed += leads_back(grammar) and not leads_back(found)
        assert texts(grammar) == texts(found), random_grammar(seed)
    assert num_checked > 250
    assert num_changed > 60


def states(count: int) -> str:
    """Rules each of which leads to all."""
    rules = [" | ".join(f'"{n:03}{m:03}" s{m}' for m in range(count)) + ' | "."' for n in range(count)]
    return "root ::= s0\n" + "\n".join(f"s{n} ::= {rule}" for n, rule in enumerate(rules))


def test_loops_that_would_be_too_large_are_not_made() -> None:
    few, many = (sound(parse(states(count), None)) for count in (3, 40))
    assert not leads_back(looped(few))
    assert looped(many).rules[: len(many.rules)] == many.rules


@pytest.mark.parametrize(
    ("grammar", "piece"),
    [
        ("root ::= e\ne ::= n (op e)*\nn ::= [0-9]+\nop ::= [-+*/]", "1+"),
        ('root ::= t ("+" root)*\nt ::= f ("*" t)*\nf ::= [0-9]+ | "(" root ")"', "1*2+(3+4*5)+"),
    ],
)
def test_long_texts_cost_no_more_than_is_allowed(grammar: str, piece: str) -> None:
    (mask,) = MaskFactory(SIZE, MarkerVocab()).make(GrammarCompiler().from_gbnf(grammar), 1)
    for token_id in itertools.islice(itertools.cycle(ids(piece)), 1500):
        mask.prepare()
        # Recursive, the first takes seconds here, and then raises ConstraintError.
        assert mask.admits(token_id)
