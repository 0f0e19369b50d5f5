"""The server's numbers held against llama.cpp's own API on the same file, one sequence by itself.

Equal but for the last digits of a logarithm. On a processor for which the build does not make all numbers of
rows add up alike, int8 activations turn the rounding of another batch shape into tenths of a logit.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from caravan.llama import library

from tests.real.bare import BareModel, bare_model
from tests.real.conftest import RealServer
from tests.real.materials import GEMMA, SMOLLM2

PROMPTS = (
    "The capital of France is",
    "def fibonacci(n):\n",
    "Wasser kocht bei 100 °C. 水は",
)
TEXTS = (
    *PROMPTS,
    "",
    " leading",
    "a\n\n\tb  c",
    "naïve café 🙂👩‍👩‍👧 \u00a0 ﬁ",
    "<|im_end|> <end_of_turn>",
    "1234567",
)
# A wrong position, mask or token differs by whole units.
_LARGEST = 1e-6 if library.has_runs_of_rows() else 1.5
_WINDOW = 512


@pytest.fixture(scope="module", params=[SMOLLM2, GEMMA], ids=["smollm2", "gemma"])
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def bare(path: Path) -> Iterator[BareModel]:
    with bare_model(path) as model:
        yield model


@pytest.fixture
def server(path: Path, request: pytest.FixtureRequest) -> RealServer:
    found = request.getfixturevalue("smollm2" if path == SMOLLM2 else "gemma")
    assert isinstance(found, RealServer)
    return found


def _assert_near(given: Sequence[float | None], expected: Sequence[float]) -> None:
    assert len(given) == len(expected)
    np.testing.assert_allclose(np.array(given, dtype=float), expected, rtol=0, atol=_LARGEST)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_tokens_are_the_likeliest(server: RealServer, bare: BareModel, prompt: str) -> None:
    answer = server.client.completions.create(
        model=server.model,
        prompt=prompt,
        max_tokens=16,
        temperature=0,
        logprobs=5,
        extra_body={"return_token_ids": True},
    )
    [choice] = answer.choices
    told = choice.model_dump()
    prompt_ids, new_ids = told["prompt_token_ids"], told["token_ids"]
    assert prompt_ids == bare.tokenize(prompt)
    assert choice.logprobs is not None
    best = choice.logprobs.top_logprobs or []
    given, given_best = choice.logprobs.token_logprobs or [], []
    expected, expected_best = [], []
    for index, row in enumerate(bare.logprobs(prompt_ids + new_ids, begin=len(prompt_ids))):
        expected.append(float(row[new_ids[index]]))
        assert row.max() - expected[-1] < _LARGEST
        num_best = len(best[index])
        expected_best += sorted(np.partition(row, -num_best)[-num_best:], reverse=True)
        given_best += sorted(best[index].values(), reverse=True)
    _assert_near(given, expected)
    _assert_near(given_best, expected_best)


@pytest.mark.parametrize("num_words", [20, _WINDOW + 50])
def test_scores_of_a_prompt(server: RealServer, bare: BareModel, num_words: int) -> None:
    """Beyond sliding windows, too."""
    words = ("the old ship left the harbour at dawn and the wind carried it far out to sea " * 64).split()
    prompt = " ".join(words[index * 7 % len(words)] for index in range(num_words))
    answer = server.client.completions.create(
        model=server.model, prompt=prompt, max_tokens=0, echo=True, logprobs=1, temperature=0
    )
    [choice] = answer.choices
    assert choice.text == prompt
    assert choice.logprobs is not None
    ids = bare.tokenize(prompt)
    expected = [float(row[token]) for token, row in zip(ids[1:], bare.logprobs(ids, begin=1), strict=True)]
    given = choice.logprobs.token_logprobs or []
    assert given.pop(0) is None
    _assert_near(given, expected)


@pytest.mark.parametrize("text", TEXTS)
def test_token_ids_are_llama_cpps(server: RealServer, bare: BareModel, text: str) -> None:
    def ask(route: str, **body: object) -> dict[str, list[int] | str]:
        return server.client.post(route, cast_to=dict, body={"model": server.model, **body})

    tokens = ask("/tokenize", content=text, add_special=True)["tokens"]
    assert tokens == bare.tokenize(text)
    plain = ask("/tokenize", content=text)["tokens"]
    assert plain == bare.tokenize(text, bos=False)
    assert ask("/detokenize", tokens=plain)["content"] == text
