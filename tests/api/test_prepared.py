"""What requests are expected to take of a key's tokens."""

import msgspec
import pytest
from caravan.api.output.answer_format import Envelope
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.prepared import Prepared, generation_requests
from caravan.auth.principal import ANONYMOUS
from caravan.engine.params import SamplingParams
from caravan_schemas.completions import CompletionRequest

from tests.fakes_web import ScriptedEngine, loaded_model

CONTEXT = 4096


@pytest.mark.parametrize("num_variants", [1, 9])
@pytest.mark.parametrize("num_continued", [0, 1000])
def test_what_stands_already_is_expected_once(num_variants: int, num_continued: int) -> None:
    """The limit of an answer that is continued counts what stands, which is the prompt's here."""
    plan = DecodingPlan(params=SamplingParams(max_tokens=num_continued + 16), num_choices=1, num_drawn=1)
    (request,) = generation_requests(
        CompletionRequest(model="fake", prompt="unread"),
        [(1,) * (20 + num_continued)],
        plan,
        loaded_model(ScriptedEngine()),
        "id",
        ANONYMOUS,
    )
    requests = [msgspec.structs.replace(request, num_continued=num_continued)] * num_variants
    envelope = Envelope(id="id", created=0, model="fake", fingerprint="")
    prepared = Prepared(requests=requests, plan=plan, format=CompletionFormat(envelope), shares_prompt=True)
    assert prepared.expected_tokens(CONTEXT) == 20 + num_continued + 16 * num_variants
