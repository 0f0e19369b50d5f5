"""Every parameter refuses what is out of its range, by name and with the range, on both routes."""

import annotated_types
import pytest
from caravan_schemas.parameters import parameters
from caravan_schemas.sampling import SamplingFields

from tests.e2e.asking import Asker


def _numbers() -> list[tuple[str, object]]:
    """A value below and one above for every number of the schema, aliases included."""
    cases: list[tuple[str, object]] = []
    for name, parameter in parameters(SamplingFields).items():
        for alias in (name, *parameter.aliases):
            for constraint in SamplingFields.model_fields[alias].metadata:
                match constraint:
                    case annotated_types.Ge(ge=float() | int() as low):
                        cases.append((alias, low - 1))
                    case annotated_types.Gt(gt=float() | int() as low):
                        cases.append((alias, low))
                    case annotated_types.Le(le=float() | int() as high):
                        cases.append((alias, high + 1))
    return cases


NUMBERS = _numbers()
# Name, value, the place that the error names, and words of the range.
OTHERS: list[tuple[str, object, str, str]] = [
    ("samplers", ["top_k", "top_x"], "samplers[1]", "'top_n_sigma', 'top_k'"),
    ("samplers", ["temperature", "temp"], "samplers", "'temperature' twice"),
    ("samplers", ["top_k"] * 17, "samplers", "at most 16"),
    ("samplers", "kpq", "samplers[2]", "'top_n_sigma', 'top_k'"),
    ("samplers", {}, "samplers", "array"),
    ("dry_sequence_breakers", ["x", ""], "dry_sequence_breakers[1]", "not be empty"),
    ("dry_sequence_breakers", ["x" * 41], "dry_sequence_breakers[0]", "at most 40"),
    ("dry_sequence_breakers", ["é" * 21], "dry_sequence_breakers[0]", "at most 40"),
    ("dry_sequence_breakers", ["x" * 30], "dry_sequence_breakers[0]", "at most 20"),
    ("dry_sequence_breakers", ["x"] * 33, "dry_sequence_breakers", "at most 32"),
    ("logit_bias", {"65": 100.5}, "logit_bias", "from -100 to 100"),
    ("logit_bias", {"65": -101}, "logit_bias", "from -100 to 100"),
    ("logit_bias", {"65": True}, "logit_bias", "from -100 to 100"),
    ("logit_bias", {"65": "5"}, "logit_bias", "from -100 to 100"),
    ("logit_bias", {"65": None}, "logit_bias", "from -100 to 100"),
    ("logit_bias", {"291": 1}, "logit_bias", "0 to 290"),
    ("logit_bias", {"-1": 1}, "logit_bias", "0 to 290"),
    ("logit_bias", [[291, 1]], "logit_bias", "0 to 290"),
    ("logit_bias", [[65]], "logit_bias", "pairs"),
    ("logit_bias", [[65.0, 1]], "logit_bias", "token id or a text"),
    ("logit_bias", [["", 1]], "logit_bias", "1 to 1000"),
    ("logit_bias", "65", "logit_bias", "object or an array"),
    ("logit_bias", [[1, 1]] * 16_385, "logit_bias", "at most 16384"),
    ("bad_words", [""], "bad_words[0]", "not be empty"),
    ("bad_words", ["x" * 201], "bad_words[0]", "at most 200"),
    ("bad_words", ["x"] * 1025, "bad_words", "at most 1024"),
    ("bad_words", "x", "bad_words", "array"),
    ("allowed_token_ids", [], "allowed_token_ids", "at least 1"),
    ("allowed_token_ids", [1, 291], "allowed_token_ids[1]", "0 to 290"),
    ("allowed_token_ids", [-1], "allowed_token_ids[0]", "at least 0"),
    ("allowed_token_ids", [1] * 65_537, "allowed_token_ids", "at most 65536"),
    ("ignore_eos", 1, "ignore_eos", "boolean"),
    ("stop", ["x"] * 17, "stop", "at most 16"),
    ("stop", [5], "stop[0]", "a string"),
    ("stop", ["x" * 1025], "stop[0]", "at most 1024"),
    ("stop_token_ids", [291], "stop_token_ids[0]", "0 to 290"),
    ("stop_token_ids", [1] * 257, "stop_token_ids", "at most 256"),
    ("include_stop_str_in_output", "yes", "include_stop_str_in_output", "boolean"),
    ("n", 17, "n", "1 to 16"),
    ("best_of", 17, "best_of", "1 to 16"),
    ("preset", "wild", "preset", "'precise', 'balanced', 'creative'"),
    ("preset", "", "preset", "not be empty"),
    ("mirostat", 1.5, "mirostat", "integer"),
    ("top_k", True, "top_k", "integer"),
    ("debug", True, "debug", "object"),
    ("debug", {"decoding": 1}, "debug.decoding", "boolean"),
    ("grammar", "root ::= 'x'", "grammar", "expected"),
]


@pytest.mark.parametrize(("name", "value"), NUMBERS)
def test_a_number_out_of_its_range_is_refused_with_the_range(ask: Asker, name: str, value: object) -> None:
    reply = ask(**{name: value})
    assert (reply.status, reply.error["param"]) == (400, name)
    field = SamplingFields.model_fields[name]
    for constraint in field.metadata:
        for bound in ("ge", "gt", "le"):
            if hasattr(constraint, bound):
                assert f" {getattr(constraint, bound)}" in reply.error["message"]


@pytest.mark.parametrize(
    ("name", "value", "param", "words"),
    OTHERS,
    ids=[f"{case[0]}-{index}" for index, case in enumerate(OTHERS)],
)
def test_what_is_no_number_is_refused_with_its_limits(
    ask: Asker, name: str, value: object, param: str, words: str
) -> None:
    reply = ask(**{name: value}, **({"dry_multiplier": 1} if name.startswith("dry") else {}))
    assert (reply.status, reply.error["param"]) == (400, param)
    assert words in reply.error["message"]
    assert len(reply.error["message"]) < 300


def test_every_parameter_has_limits_that_are_tested() -> None:
    tested = {name for name, _ in NUMBERS} | {case[0] for case in OTHERS} | {"seed"}
    assert set(parameters(SamplingFields)) <= tested
