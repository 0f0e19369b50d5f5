"""Values of a field that ask for nothing, and the kinds that many fields share."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Passing:
    """Values that pass besides null; `words` says which."""

    words: str
    test: Callable[[object], bool]

    def __call__(self, value: object) -> bool:
        """Whether a value passes."""
        return value is None or self.test(value)


@dataclass(frozen=True)
class Rule:
    """Which values of a field pass, and the reason why others do not, or why those that pass have no effect.

    A value that one of the fields `same_as` has in the same request passes, too. Values in `reported` pass as
    unknown fields do, with a word to the client: they only ask to be told more, or sooner.
    """

    passing: Passing
    reason: str
    same_as: tuple[str, ...] = ()
    reported: Passing | None = None

    def __call__(self, value: object) -> bool:
        """Whether a value passes."""
        return self.passing(value)


def one_of(words: str, *values: object) -> Passing:
    """Let some values pass; JSON's true is not its 1."""

    def test(value: object) -> bool:
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)

    return Passing(words, test)


def _refuses_nothing(value: object) -> bool:
    return isinstance(value, dict) and value.get("refusal") is None


def _is_plain_reasoning(value: object) -> bool:
    neutral = {"exclude": (None, False), "enabled": (None, True)}
    return isinstance(value, dict) and all(v in neutral.get(k, (None,)) for k, v in value.items())


def _is_cache_control(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") == "ephemeral" and set(value) <= {"type", "ttl"}


NULL = one_of("")
FALSE = one_of("false", False)
TRUE = one_of("true", True)
BOOLEAN = one_of("true, false", True, False)
EMPTY = one_of("empty", [], {}, "")
ZERO = one_of("0", 0)
ONE = one_of("1", 1)
OFF = one_of("0, -1", 0, -1)
INTEGER = Passing(
    "any integer of 0 or more",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
NUMBER = Passing("any number, true, false", lambda value: isinstance(value, int | float))
OBJECT = Passing("any object", lambda value: isinstance(value, dict))
ARRAY = Passing("any array", lambda value: isinstance(value, list))
TEXT = Passing("any text", lambda value: isinstance(value, str))
NOTES = Passing("an object without a refusal", _refuses_nothing)
PLAIN_REASONING = Passing('`{}`, `{"enabled": true}`, `{"exclude": false}`', _is_plain_reasoning)
CACHE_CONTROL = Passing('`{"type": "ephemeral"}`, with a `ttl` or without', _is_cache_control)
