"""How tokens are written beside their log probabilities."""

import pytest
from caravan.api.output.logprobs import LogprobWriter, token_label
from caravan.api.validation.parse import parse
from caravan.engine.outputs import TokenLogprob, packed_top
from caravan.errors import InvalidRequestError
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest

from tests.fakes_web import BOS_ID, FakeVocab

EURO = "€".encode()


def test_a_token_is_its_text_or_the_bytes_of_a_part_of_a_character() -> None:
    vocab = FakeVocab()
    assert token_label(vocab, ord("a")) == "a"
    assert [token_label(vocab, byte) for byte in EURO] == ["bytes:\\xe2", "bytes:\\x82", "bytes:\\xac"]
    assert token_label(vocab, BOS_ID) == "<s>"


def test_chat_has_bytes_and_the_likeliest_in_order() -> None:
    top = packed_top((ord("b"), EURO[0]), (-1.0, -2.0))
    entries = [TokenLogprob(EURO[0], -2.0, top), TokenLogprob(BOS_ID, -3.0)]
    written = LogprobWriter(FakeVocab()).chat(entries).model_dump()
    assert written == {
        "content": [
            {
                "token": "bytes:\\xe2",
                "logprob": -2.0,
                "bytes": [0xE2],
                "top_logprobs": [
                    {"token": "b", "logprob": -1.0, "bytes": [98]},
                    {"token": "bytes:\\xe2", "logprob": -2.0, "bytes": [0xE2]},
                ],
            },
            {"token": "<s>", "logprob": -3.0, "bytes": None, "top_logprobs": []},
        ],
        "refusal": None,
    }


def test_text_has_four_lists_and_the_token_that_came_among_the_likeliest() -> None:
    entries = [
        TokenLogprob(97, -2.0, packed_top((98,), (-1.0,)), offset=0),
        TokenLogprob(98, -1.0, packed_top((98,), (-1.0,)), offset=1),
    ]
    assert LogprobWriter(FakeVocab()).text(entries).model_dump() == {
        "tokens": ["a", "b"],
        "token_logprobs": [-2.0, -1.0],
        "top_logprobs": [{"b": -1.0, "a": -2.0}, {"b": -1.0}],
        "text_offset": [0, 1],
    }


@pytest.mark.parametrize("value", ["true", '"5"', "-1", "21", "1.5"])
def test_text_completions_take_0_to_20(value: str) -> None:
    body = f'{{"model": "m", "prompt": "a", "logprobs": {value}}}'
    with pytest.raises(InvalidRequestError) as caught:
        parse(CompletionRequest, body.encode(), strict=False)
    assert caught.value.param == "logprobs"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ('"logprobs": 1', "logprobs"),
        ('"logprobs": true, "top_logprobs": 21', "top_logprobs"),
        ('"logprobs": true, "top_logprobs": -1', "top_logprobs"),
        ('"logprobs": true, "top_logprobs": true', "top_logprobs"),
    ],
)
def test_chat_takes_a_boolean_and_0_to_20(fields: str, param: str) -> None:
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": "a"}}], {fields}}}'
    with pytest.raises(InvalidRequestError) as caught:
        parse(ChatCompletionRequest, body.encode(), strict=False)
    assert caught.value.param == param
