"""Long answers: written in pieces they are what they are in one piece."""

import json
import math
from array import array
from dataclasses import replace

import msgspec
import pytest
from caravan.api import tokenize as token_answer_module
from caravan.api.output.answer_format import Envelope, FinishedChoice, TokenDetails
from caravan.api.output.chat_format import ChatFormat
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.whole_answer import whole_answer
from caravan.api.prepared import check_scores
from caravan.api.structured.checker import ParsedAnswer
from caravan.api.tokenize import token_answer
from caravan.engine.outputs import TokenLogprob, packed_top
from caravan.errors import InvalidRequestError
from caravan_schemas.common import CompletionTokensDetails, PromptTokensDetails, Usage
from caravan_schemas.tokenize import TokenizeRequest

from tests.fakes_web import FakeVocab

WRITER = LogprobWriter(FakeVocab())
ENVELOPE = Envelope(id="it", created=1, model="fake", fingerprint="f", writer=WRITER, with_token_ids=True)
USAGE = Usage(
    prompt_tokens=1,
    completion_tokens=2,
    total_tokens=3,
    prompt_tokens_details=PromptTokensDetails(cached_tokens=0, audio_tokens=0, image_tokens=0),
    completion_tokens_details=CompletionTokensDetails(
        reasoning_tokens=0, audio_tokens=0, accepted_prediction_tokens=0, rejected_prediction_tokens=0
    ),
)
# A text may have what stands where there are no log probabilities.
TEXT = '"logprobs":{"content":[] "prompt_logprobs":[null]'


def entries(count: int) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            97 + place % 20,
            -1.5 / (1 + place),
            packed_top((98, 200), (-1e-7, -3.25)),
            offset=place,
            rank=2,
            is_end=place % 5 == 4,
        )
        for place in range(count)
    )


def choice(num_tokens: int, num_prompt: int) -> FinishedChoice:
    details = TokenDetails(entries(num_tokens), tuple(range(num_tokens)))
    return FinishedChoice(
        parsed=ParsedAnswer(TEXT),
        finish_reason="stop",
        details=details,
        prompt_logprobs=entries(num_prompt),
    )


@pytest.mark.parametrize("has_prompt", [False, True])
@pytest.mark.parametrize("shape", [ChatFormat, CompletionFormat])
@pytest.mark.parametrize("few", [1, 3, 7])
def test_log_probabilities_in_pieces_are_the_same(
    shape: type[ChatFormat | CompletionFormat], few: int, has_prompt: bool
) -> None:
    prompt_writer = WRITER if has_prompt else None
    asked = shape(replace(ENVELOPE, prompt_writer=prompt_writer))
    choices = [choice(10, 9), choice(1, 9), choice(0, 9)]
    whole, pieces = (b"".join(whole_answer(asked, choices, USAGE, None, few=limit)) for limit in (1000, few))
    assert json.loads(pieces) == json.loads(whole)
    assert b'"top_logprobs"' in whole


def test_a_prompt_that_is_told_too_begins_without_a_number() -> None:
    first = TokenLogprob(97, math.nan)
    choices = [replace(choice(0, 0), details=TokenDetails((first, *entries(9)), tuple(range(10))))]
    asked = CompletionFormat(ENVELOPE)
    whole, pieces = (b"".join(whole_answer(asked, choices, USAGE, None, few=limit)) for limit in (1000, 3))
    assert json.loads(pieces) == json.loads(whole)
    assert json.loads(pieces)["choices"][0]["logprobs"]["token_logprobs"][0] is None


@pytest.mark.parametrize("count", [0, 1, 4, 9])
@pytest.mark.parametrize("is_full", [False, True])
def test_tokens_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch, count: int, is_full: bool) -> None:
    token_ids = array("i", ([97, 0xE2, 256, 98, 0x82] * 2)[:count])
    request = TokenizeRequest(
        model="fake", with_pieces=is_full, return_token_strs=is_full, return_token_bytes=is_full
    )
    whole = b"".join(token_answer(request, FakeVocab(), token_ids, 512))
    monkeypatch.setattr(token_answer_module, "_AT_ONCE", 2)
    pieces = b"".join(token_answer(request, FakeVocab(), token_ids, 512))
    assert msgspec.json.decode(pieces) == msgspec.json.decode(whole)
    assert msgspec.json.decode(whole)["count"] == count


def test_more_scores_than_there_is_memory_for_are_refused() -> None:
    prompts = [range(4000)] * 100
    check_scores(prompts, 1, 1, stream=False, param="logprobs")
    check_scores(prompts, None, 16, stream=True, param="logprobs")
    for num_logprobs, num_drawn, stream in ((20, 1, False), (1, 2, False), (0, 1, True)):
        with pytest.raises(InvalidRequestError) as caught:
            check_scores(prompts, num_logprobs, num_drawn, stream=stream, param="prompt_logprobs")
        assert caught.value.param == "prompt_logprobs"
        assert str(400_000 * (1 + num_logprobs) * num_drawn) in caught.value.message
