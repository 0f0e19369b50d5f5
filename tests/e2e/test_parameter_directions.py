"""Every decoding parameter changes the output in its direction, on both routes, streamed or not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.asking import Asker, ParsedChoice
from tests.tiny_vocab import vocabulary_size

# The vocabulary begins with the bytes.
A, B, C = b"ABC"
END = vocabulary_size() - 1

Fields = dict[str, Any]

MANY: Fields = {"n": 16, "max_tokens": 3}
FREE: Fields = MANY | {"temperature": 1.5, "top_k": 0, "top_p": 1, "min_p": 0}
GREEDY: Fields = {"temperature": 0, "max_tokens": 30}
LOOP: Fields = GREEDY | {"allowed_token_ids": [A, B, C]}
FEW: Fields = {"n": 16, "max_tokens": 12, "allowed_token_ids": list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
LONG: Fields = {"n": 8, "max_tokens": 40, "top_k": 0, "top_p": 1, "min_p": 0, "ignore_eos": True}


def different(reply: ParsedChoice) -> float:
    """Different texts among the choices."""
    return reply.num_different


def letters(reply: ParsedChoice) -> float:
    """Different letters in each text, added up."""
    return sum(len(set(text)) for text in reply.texts)


def repeats(reply: ParsedChoice) -> float:
    """How often three letters stand in a text that stood there before."""
    text = reply.text
    return len(text) - 2 - len({text[i : i + 3] for i in range(len(text) - 2)})


def tokens(reply: ParsedChoice) -> float:
    """Tokens drawn."""
    return reply.num_tokens


def drift(reply: ParsedChoice) -> float:
    """How far mirostat's state went from where it began."""
    tau: float = reply.stages["mirostat"]["mirostat_tau"]
    return abs(reply.mu["0"] - 2 * tau)


# Parameter, what both questions have, the value that gives less and the one that gives more, less of what.
DIRECTIONS: list[tuple[str, Fields, object, object, Callable[[ParsedChoice], float]]] = [
    ("temperature", FREE, 0.1, 2, different),
    ("dynatemp_range", FREE | {"temperature": 0.7, "dynatemp_exponent": 0.05}, 0.01, 0.7, different),
    ("dynatemp_exponent", FREE | {"temperature": 1, "dynatemp_range": 1}, 20, 0.05, different),
    ("top_k", FREE, 1, 100, different),
    ("top_p", FREE, 0.01, 1, different),
    ("min_p", FREE, 1, 0.001, different),
    ("typical_p", FREE, 0.01, 1, different),
    ("typical", FREE, 0.01, 1, different),
    ("top_n_sigma", FREE, 0.01, 5, different),
    ("min_keep", FREE | {"top_k": 1}, 0, 50, different),
    ("samplers", MANY | {"temperature": 2}, None, [], different),
    ("adaptive_target", FREE, 1, 0, different),
    ("mirostat_tau", MANY | {"mirostat": 2, "temperature": 2}, 0.01, 20, different),
    ("mirostat_tau", MANY | {"mirostat": 1, "temperature": 2}, 0.01, 20, different),
    ("mirostat_eta", {"mirostat": 2}, 0.01, 1, drift),
    ("repeat_penalty", LONG, 0.5, 10, letters),
    ("repetition_penalty", LONG, 0.5, 10, letters),
    ("repeat_last_n", LONG | {"repeat_penalty": 10}, 1, -1, letters),
    ("presence_penalty", FEW, -2, 2, letters),
    ("frequency_penalty", FEW, -2, 2, letters),
    ("dry_multiplier", LOOP, 50, 0, repeats),
    ("dry_base", LOOP | {"dry_multiplier": 0.5}, 50, 1, repeats),
    ("dry_allowed_length", LOOP | {"dry_multiplier": 50}, 1, 50, repeats),
    ("dry_penalty_last_n", LOOP | {"dry_multiplier": 50}, -1, 2, repeats),
    ("dry_sequence_breakers", LOOP | {"dry_multiplier": 50}, [], ["A", "B", "C"], repeats),
    ("max_tokens", {"ignore_eos": True}, 2, 20, tokens),
    ("max_completion_tokens", {"ignore_eos": True, "max_tokens": None}, 2, 20, tokens),
    ("min_tokens", {"logit_bias": {str(END): 50}}, 0, 5, tokens),
    ("max_time", {"max_tokens": 400, "ignore_eos": True}, 1e-6, None, tokens),
    ("n_indent", {"ignore_eos": True, "logit_bias": [["\n", 100]]}, 1, 0, tokens),
    ("ignore_eos", {"logit_bias": {str(END): 50}}, False, True, tokens),
    (
        "preset",
        FREE | dict.fromkeys(("temperature", "top_k", "top_p", "min_p")),
        "precise",
        "creative",
        different,
    ),
    ("n", {"max_tokens": 3}, 1, 5, lambda reply: len(reply.texts)),
]


@pytest.mark.parametrize(
    ("name", "fields", "less", "more", "measure"), DIRECTIONS, ids=[case[0] for case in DIRECTIONS]
)
def test_a_parameter_acts_in_its_direction(
    ask: Asker,
    name: str,
    fields: Fields,
    less: object,
    more: object,
    measure: Callable[[ParsedChoice], float],
) -> None:
    low, high = ask(**{**fields, name: less}), ask(**{**fields, name: more})
    assert (low.status, high.status) == (200, 200), (low.error, high.error)
    assert measure(low) < measure(high)
