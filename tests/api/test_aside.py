"""Little is done at once, much on a thread."""

import asyncio
import threading

from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.run import aside, num_numbers
from caravan.engine.outputs import TokenLogprob, packed_top
from caravan.engine.params import SamplingParams
from caravan_schemas.common import DecodingStage


def test_what_is_much_is_done_on_a_thread() -> None:
    here = threading.get_ident()
    assert asyncio.run(aside(8192, threading.get_ident)) == here
    assert asyncio.run(aside(8193, threading.get_ident)) != here


def test_log_probabilities_are_counted_with_the_likeliest() -> None:
    # The first token of an echoed prompt has none.
    entries = [TokenLogprob(1, float("nan")), TokenLogprob(2, -1.0, packed_top((1, 2), (-1.0, -2.0)))]
    assert num_numbers(entries) == 6
    assert num_numbers([]) == 0


def test_what_a_trace_shows_is_counted() -> None:
    chain = [
        DecodingStage(stage="bias", values={"logit_bias": {"1": 1.0, "2": 2.0}, "ignore_eos": True}),
        DecodingStage(stage="end", values={"stop": ("a", "b", "c")}),
    ]
    assert DecodingPlan(params=SamplingParams(), num_choices=1, num_drawn=1, chain=chain).debug_size == 5
    assert DecodingPlan(params=SamplingParams(), num_choices=1, num_drawn=1).debug_size == 0
