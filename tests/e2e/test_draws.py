"""What a client gets has the distribution that its parameters define: 2,500 draws a setting, counted."""

import math
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from caravan.config.settings import Settings
from caravan.engine.params import SamplingParams
from caravan.models import registry_of
from numpy.typing import NDArray

from tests.e2e.draw_settings import OFF, SETTINGS
from tests.engine.sampling.reference_chain import ReferenceChain
from tests.live_server import live_server
from tests.tiny_model import write_steady_model
from tests.tiny_vocab import vocabulary_size

NUM_DRAWS = 2500
SEED = 1
# The tokens of printable ASCII; their ids are their codes, so a text says which tokens were drawn.
LETTERS = slice(33, 127)


def logits() -> NDArray[np.float32]:
    """The model's answer to everything: letters of all likelihoods, and nothing else."""
    row = np.full(vocabulary_size(), -60.0, np.float32)
    row[LETTERS] = np.random.default_rng(0).normal(0, 2, 127 - 33)
    return row


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    path: Path = tmp_path_factory.mktemp("steady") / "steady.gguf"
    write_steady_model(path, logits())
    settings = Settings(model=path, model_id="steady", context_size=NUM_DRAWS + 100, threads=1)
    with live_server(registry_of(settings), settings) as address:
        yield address


def complete(address: str, changes: dict[str, Any], count: int = NUM_DRAWS) -> str:
    body = {"model": "steady", "prompt": "a", "max_tokens": count, "seed": SEED, **OFF, **changes}
    answer = httpx.post(f"{address}/v1/completions", json=body, timeout=None)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


@pytest.fixture(scope="module")
def texts(address: str) -> list[str]:
    """2,500 draws of every setting, all settings at once."""
    with ThreadPoolExecutor(len(SETTINGS)) as pool:
        return list(pool.map(lambda changes: complete(address, changes), SETTINGS))


def params(changes: dict[str, Any]) -> SamplingParams:
    """What a request means by its fields."""
    fields = {**OFF, **changes}
    bias = tuple((int(token), value) for token, value in fields.pop("logit_bias", {}).items())
    return msgspec.convert({**fields, "seed": SEED, "logit_bias": bias}, SamplingParams, strict=False)


def expected(settings: SamplingParams) -> NDArray[np.float64]:
    """The defined distribution; XTC makes it a mixture of two."""
    if 0 < settings.xtc_probability < 1:
        without = msgspec.structs.replace(settings, xtc_probability=0.0)
        always = msgspec.structs.replace(settings, xtc_probability=1.0)
        share = settings.xtc_probability
        return share * expected(always) + (1 - share) * expected(without)
    distribution = ReferenceChain(settings, [97], set()).distribution(logits())
    probabilities = np.zeros(vocabulary_size())
    probabilities[distribution.ids] = distribution.probabilities
    return probabilities


def chi_square(counts: NDArray[np.intp], probabilities: NDArray[np.float64]) -> float:
    """The p-value of Pearson's test. Tokens expected fewer than 5 times share a bin."""
    wanted = probabilities * counts.sum()
    rare = wanted < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(wanted[~rare], wanted[rare].sum())
    observed, wanted = observed[wanted > 1e-6], wanted[wanted > 1e-6]
    return survival(float(((observed - wanted) ** 2 / wanted).sum()), len(wanted) - 1)


def survival(statistic: float, freedom: int) -> float:
    """Chance that chi-square of so many degrees of freedom exceeds a value, by the recurrence of Q(a, x)."""
    x = statistic / 2
    if x == 0 or freedom == 0:
        return 1.0 if x == 0 else 0.0
    a, q = (1.0, math.exp(-x)) if freedom % 2 == 0 else (0.5, math.erfc(math.sqrt(x)))
    while a < freedom / 2:
        q += math.exp(a * math.log(x) - x - math.lgamma(a + 1))
        a += 1
    return q


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=lambda number: str(SETTINGS[number]))
def test_draws_have_the_defined_distribution(texts: list[str], number: int) -> None:
    probabilities = expected(params(SETTINGS[number]))
    counts = np.bincount([ord(letter) for letter in texts[number]], minlength=vocabulary_size())
    assert counts.sum() == NUM_DRAWS
    assert not counts[probabilities < 1e-12].any()
    assert chi_square(counts, probabilities) > 0.001


def test_a_seed_draws_alone_what_it_drew_among_others(address: str, texts: list[str]) -> None:
    for number in (0, 5, 12):
        assert complete(address, SETTINGS[number], 400) == texts[number][:400]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.5, 2.2, 3.0])
def test_mirostat_keeps_the_mean_surprise_at_tau(address: str, version: int, tau: float) -> None:
    """The reference draws the same tokens, and measures their surprise."""
    changes = {"mirostat": version, "mirostat_tau": tau, "mirostat_eta": 0.1}
    chain = ReferenceChain(params(changes), [97], set())
    assert complete(address, changes, 2000) == "".join(chr(chain.draw(logits())) for _ in range(2000))
    assert np.mean(chain.surprises) == pytest.approx(tau, rel=0.05)


def test_the_table_of_chi_square() -> None:
    """Critical values for p = 0.001, from any table."""
    for freedom, value in ((1, 10.828), (2, 13.816), (5, 20.515), (93, 140.893), (100, 149.449)):
        assert survival(value, freedom) == pytest.approx(0.001, rel=2e-3)
