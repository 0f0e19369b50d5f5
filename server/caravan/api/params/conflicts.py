"""Parameters that have no effect without others, or beside them: a table, each entry of which is a 400.

What a request sets is never ignored in silence. Defaults have given way to it by then
(`caravan.api.params.resolved`); the rules here are about what is left.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caravan_schemas.parameters import TRUNCATING
from caravan_schemas.samplers import FIXED

from caravan.api.params.resolved import PARAMETERS, ResolvedParams
from caravan.errors import InvalidRequestError

PENALTIES = ("repeat_penalty", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True)
class Needs:
    """`name` has no effect unless one of `switches` is on, so a request may not set it then.

    It may set the default, values for which `is_nothing` is true, and any value beside a switch that it turns
    off itself.
    """

    name: str
    switches: tuple[str, ...]
    is_nothing: Callable[[ResolvedParams], bool] = lambda _: False


@dataclass(frozen=True)
class Clash:
    """`first` and `second` do not go together where `happens` is true; `reason` ends the error's sentence."""

    first: str
    second: str
    happens: Callable[[ResolvedParams], bool]
    reason: str


def is_on(resolved: ResolvedParams, name: str) -> bool:
    """Whether a parameter that can be off is on."""
    value = resolved[name]
    if name == "top_n_sigma":
        return resolved.number(name) > 0
    return value is not None and value not in (PARAMETERS[name].neutral, [], False)


def _greedy(resolved: ResolvedParams) -> bool:
    return resolved["temperature"] == 0 and not is_on(resolved, "dynatemp_range")


def _chosen_on(resolved: ResolvedParams, name: str) -> bool:
    return resolved.is_chosen(name) and is_on(resolved, name)


def _empty_window(window: str, name: str) -> Callable[[ResolvedParams], bool]:
    return lambda resolved: resolved[window] == 0 and _chosen_on(resolved, name)


def _left_out(sampler: str, name: str) -> Callable[[ResolvedParams], bool]:
    def happens(resolved: ResolvedParams) -> bool:
        listed = samplers(resolved)
        # A list of samplers that truncate leaves no others out.
        is_about = sampler not in FIXED or not FIXED.keys().isdisjoint(listed)
        return is_about and sampler not in listed and _chosen_on(resolved, name)

    return happens


def _late(sampler: str, name: str) -> Callable[[ResolvedParams], bool]:
    """Whether a list has a sampler that is on after one before which it acts here."""

    def happens(resolved: ResolvedParams) -> bool:
        listed = samplers(resolved)
        before = listed[: listed.index(sampler)] if sampler in listed else []
        return is_on(resolved, name) and any(other != "penalties" for other in before)

    return happens


NEEDS = (
    Needs("dynatemp_exponent", ("dynatemp_range",)),
    # llama.cpp's own way to turn XTC off.
    Needs("xtc_threshold", ("xtc_probability",), lambda s: s.number("xtc_threshold") > 0.5),
    Needs("adaptive_decay", ("adaptive_target",)),
    Needs("mirostat_tau", ("mirostat",)),
    Needs("mirostat_eta", ("mirostat",)),
    Needs("repeat_last_n", PENALTIES, lambda s: s["repeat_last_n"] == 0),
    Needs("dry_base", ("dry_multiplier",)),
    Needs("dry_allowed_length", ("dry_multiplier",)),
    Needs("dry_penalty_last_n", ("dry_multiplier",), lambda s: s["dry_penalty_last_n"] == 0),
    Needs("dry_sequence_breakers", ("dry_multiplier",)),
    Needs("stop_limit", ("stop",)),
    Needs("include_stop_str_in_output", ("stop",)),
)

CLASHES = (
    Clash(
        "mirostat",
        "temperature",
        lambda s: is_on(s, "mirostat") and _greedy(s),
        "temperature 0 leaves one token, and mirostat nothing to draw",
    ),
    Clash(
        "mirostat",
        "adaptive_target",
        lambda s: is_on(s, "mirostat") and is_on(s, "adaptive_target"),
        "each of them draws the token",
    ),
    Clash(
        "adaptive_target",
        "temperature",
        lambda s: is_on(s, "adaptive_target") and _greedy(s),
        "temperature 0 leaves one token, and adaptive-p nothing to draw",
    ),
    *(
        Clash(
            "repeat_last_n",
            name,
            _empty_window("repeat_last_n", name),
            "a window of 0 tokens holds nothing to penalise",
        )
        for name in PENALTIES
    ),
    Clash(
        "dry_penalty_last_n",
        "dry_multiplier",
        _empty_window("dry_penalty_last_n", "dry_multiplier"),
        "a window of 0 tokens holds no repetition",
    ),
    *(
        Clash(
            "samplers",
            name,
            _left_out(sampler, name),
            f"'samplers' leaves '{sampler}' out, which turns it off",
        )
        for sampler, names in (*((one, (name,)) for one, name in TRUNCATING.items()), *FIXED.items())
        for name in names
    ),
    *(
        Clash("samplers", name, _late("penalties", name), "penalties come before all other samplers")
        for name in PENALTIES
    ),
    Clash(
        "samplers",
        "dry_multiplier",
        _late("dry", "dry_multiplier"),
        "DRY comes before all other samplers, penalties aside",
    ),
    Clash(
        "samplers",
        "mirostat",
        lambda s: (
            s.is_set("samplers")
            and is_on(s, "mirostat")
            and not TRUNCATING.keys() <= set(samplers(s))
            and not any(_chosen_on(s, TRUNCATING[sampler]) for sampler in _truncating(s))
        ),
        "under mirostat only samplers that the request sets act, and it sets none of those named",
    ),
    Clash(
        "min_tokens",
        "max_tokens",
        lambda s: s["max_tokens"] is not None and s.number("min_tokens") > s.number("max_tokens"),
        "the least would be more than the most",
    ),
    Clash(
        "best_of",
        "n",
        lambda s: s["best_of"] is not None and s.number("best_of") < s.number("n"),
        "'best_of' must be at least 'n'",
    ),
)


def _truncating(resolved: ResolvedParams) -> list[str]:
    return [sampler for sampler in samplers(resolved) if sampler in TRUNCATING]


def samplers(resolved: ResolvedParams) -> list[str]:
    """List the samplers in their order: those that truncate, and others where the list is about them, too."""
    return list(map(str, resolved.items("samplers")))


def check(resolved: ResolvedParams) -> None:
    """Raise InvalidRequestError, which names both, for the first combination that means nothing."""
    for message, param in _faults(resolved):
        raise InvalidRequestError(message, param=param, code="invalid_value")


def _faults(resolved: ResolvedParams) -> Iterator[tuple[str, str]]:
    for need in NEEDS:
        if resolved.is_set(need.name) and resolved[need.name] is not False and _is_idle(resolved, need):
            name = resolved.written(need.name)
            others = " or ".join(f"'{resolved.written(switch)}'" for switch in need.switches)
            yield f"'{name}' has no effect without {others}.", name
    if resolved.is_set("min_keep") and resolved["min_keep"] != 0 and not _truncates(resolved):
        yield (
            "'min_keep' has no effect: no sampler truncates, 'top_k', 'top_p' and the others are off.",
            "min_keep",
        )
    for clash in CLASHES:
        if clash.happens(resolved):
            first, second = resolved.written(clash.first), resolved.written(clash.second)
            param = second if resolved.is_set(clash.second) and not resolved.is_set(clash.first) else first
            yield f"'{first}' and '{second}' do not go together: {clash.reason}.", param


def _is_idle(resolved: ResolvedParams, need: Needs) -> bool:
    if any(is_on(resolved, switch) for switch in need.switches):
        return False
    if any(resolved.is_set(switch) for switch in need.switches):
        return False
    value, default = resolved[need.name], PARAMETERS[need.name].default
    if value is None or need.is_nothing(resolved):
        return False
    return value != (list(default) if isinstance(default, tuple) else default)


def _truncates(resolved: ResolvedParams) -> bool:
    named = (TRUNCATING[sampler] for sampler in _truncating(resolved) if sampler != "top_n_sigma")
    return any(is_on(resolved, name) for name in named)
