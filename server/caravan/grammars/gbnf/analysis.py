"""What can be said of a grammar as a whole: what is empty, what has no end, what refers to itself.

Everything here takes time in proportion to the grammar, and no stack.
"""

from collections.abc import Callable, Iterator

from caravan.grammars.gbnf.syntax import Chars, GbnfError, Grammar, Item, Ref, Rule, Sequence, Tokens


def sound(grammar: Grammar) -> Grammar:
    """Take out of a grammar what no text can satisfy.

    Raises GbnfError if nothing is left, and on left recursion.
    """
    _refuse_left_recursion(grammar.rules)
    productive = _closure(grammar.rules, _needed_to_end)
    if grammar.root not in productive:
        raise GbnfError("nothing satisfies it", grammar.rules[grammar.root].offset)
    rules = [
        Rule(rule.name, rule.offset, tuple(_pruned(rule, productive))) if index in productive else rule
        for index, rule in enumerate(grammar.rules)
    ]
    return Grammar(rules, grammar.root)


def nullable(rules: list[Rule]) -> set[int]:
    """Find the rules that the empty text satisfies."""
    return _closure(rules, _needed_to_vanish)


def reachable(grammar: Grammar) -> list[int]:
    """List the rules that the root leads to, those before their users as far as that is possible."""
    order: list[int] = []
    seen = {grammar.root}
    path = [(grammar.root, _refs(grammar.rules[grammar.root]))]
    while path:
        rule, inner = path[-1]
        following = next((ref for ref in inner if ref not in seen), None)
        if following is None:
            order.append(rule)
            path.pop()
        else:
            seen.add(following)
            path.append((following, _refs(grammar.rules[following])))
    return order


def regular(grammar: Grammar) -> set[int]:
    """Find the rules that lead neither back to themselves nor to tokens: each is a regular expression."""
    order = reachable(grammar)
    # A reference to a rule that comes later closes a circle; so does whatever leads there.
    found: set[int] = set()
    for rule in order:
        symbols = [item.symbol for one in grammar.rules[rule].alternatives for item in one]
        if all(isinstance(s, Chars) or (isinstance(s, Ref) and s.rule in found) for s in symbols):
            found.add(rule)
    return found


def _refs(rule: Rule) -> Iterator[int]:
    return (
        item.symbol.rule
        for alternative in rule.alternatives
        for item in alternative
        if isinstance(item.symbol, Ref)
    )


def _needed_to_end(item: Item) -> Ref | bool:
    """The rule that must have an end for an item to have one; or whether it has one in itself."""
    match item.symbol:
        case _ if item.low == 0:
            return True
        case Chars(ranges):
            return bool(ranges)
        case Tokens():
            return True
        case reference:
            return reference


def _needed_to_vanish(item: Item) -> Ref | bool:
    """The rule that must match the empty text for an item to do so; or whether it does by itself."""
    if item.low == 0:
        return True
    return item.symbol if isinstance(item.symbol, Ref) else False


def _closure(rules: list[Rule], need: Callable[[Item], Ref | bool]) -> set[int]:
    """The rules with an alternative all of whose needs are met, directly or by rules found before."""
    found: set[int] = set()
    # For each alternative how many needs are unmet; for each rule the alternatives that wait for it.
    num_unmet: list[int] = []
    owners: list[int] = []
    waiting: dict[int, list[int]] = {}
    ready: list[int] = []
    for index, rule in enumerate(rules):
        for alternative in rule.alternatives:
            needs = [need(item) for item in alternative]
            if any(one is False for one in needs):
                continue
            refs = [one.rule for one in needs if isinstance(one, Ref)]
            for ref in refs:
                waiting.setdefault(ref, []).append(len(owners))
            owners.append(index)
            num_unmet.append(len(refs))
            if not refs:
                ready.append(index)
    while ready:
        rule_index = ready.pop()
        if rule_index in found:
            continue
        found.add(rule_index)
        for alternative_index in waiting.get(rule_index, ()):
            num_unmet[alternative_index] -= 1
            if not num_unmet[alternative_index]:
                ready.append(owners[alternative_index])
    return found


def _pruned(rule: Rule, productive: set[int]) -> Iterator[Sequence]:
    """The alternatives that have an end, without the optional items that have none."""

    def ends(item: Item) -> bool:
        match item.symbol:
            case Chars(ranges):
                return bool(ranges)
            case Tokens():
                return True
            case Ref(inner):
                return inner in productive

    for alternative in rule.alternatives:
        if all(item.low == 0 or ends(item) for item in alternative):
            yield tuple(item for item in alternative if ends(item))


def _refuse_left_recursion(rules: list[Rule]) -> None:
    """llama.cpp refuses it, or never comes back: it would expand such a rule for ever."""
    empty = nullable(rules)
    finished: set[int] = set()
    for start in range(len(rules)):
        if start in finished:
            continue
        # Rules that are being expanded, each with its leftmost references that were not looked at yet.
        path = [(start, _leftmost(rules[start], empty))]
        expanding = {start}
        while path:
            rule, refs = path[-1]
            following = next((ref for ref in refs if ref not in finished), None)
            if following is None:
                finished.add(rule)
                expanding.discard(rule)
                path.pop()
            elif following in expanding:
                name = rules[following].name
                message = f"rule '{name}' begins with itself: left recursion is not supported"
                raise GbnfError(message, rules[following].offset)
            else:
                expanding.add(following)
                path.append((following, _leftmost(rules[following], empty)))


def _leftmost(rule: Rule, empty: set[int]) -> Iterator[int]:
    """The rules that some text of a rule may begin with."""
    for alternative in rule.alternatives:
        for item in alternative:
            if isinstance(item.symbol, Ref):
                yield item.symbol.rule
            if _needed_to_vanish(item) is not True and not (
                isinstance(item.symbol, Ref) and item.symbol.rule in empty
            ):
                break
