"""Logits ranked anew in the browser, held against the engine's stages, on real rows and on nasty ones."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.engine.sampling.rows import Logits, adversarial_rows, resident_rows
from tests.faults.process import ServerProcess
from tests.page.browser import opened
from tests.page.rank_cases import Case

# The page's paths are those of any version.
_RANKED = """async (cases) => {
  const [{ rank, verdict }, { rowOf }] = await Promise.all([
    import(new URL("page/test/lab/rank.js", location.href)),
    import(new URL("page/test/lab/row.js", location.href)),
  ]);
  return cases.map(({ stage, parameters, circumstances }) => {
    const ranked = rank(rowOf(stage), parameters, circumstances);
    return { last: ranked[ranked.length - 1], verdict: verdict(ranked) };
  });
}"""
_NUM_CASES = 600
_PLAIN = ("top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc")
# Beside rounding, where a value stands right at a limit.
_CLOSE = 2e-4


@pytest.fixture(scope="module")
def real_rows() -> list[Logits]:
    return resident_rows()


@pytest.fixture(scope="module")
def page(browser: Browser, server: ServerProcess) -> Iterator[Page]:
    """The page, of which these tests use nothing but the arithmetic."""
    with opened(browser, server.address) as (page, _):
        yield page


def test_whatever_is_said_to_be_known_is_what_the_engine_does(page: Page, real_rows: list[Logits]) -> None:
    rows = [*real_rows, *adversarial_rows().values()]
    chance = random.Random(5)
    cases = [_random_case(chance, chance.choice(rows)) for _ in range(_NUM_CASES)]
    verdicts = [_check(case, told) for case, told in zip(cases, _ranked(page, cases), strict=True)]
    # Many of them ask for more than is stored, on purpose.
    assert 0.4 * _NUM_CASES < verdicts.count(None) < 0.9 * _NUM_CASES


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.3},
        {"temperature": 0.0},
        {"dynatemp_range": 0.5, "top_k": 50},
        {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
        {"top_p": 0.5},
        {"min_p": 0.1},
        {"typical_p": 0.2},
        {"top_n_sigma": 1.0},
        {"xtc_probability": 0.5, "xtc_threshold": 0.05},
        {"top_p": 0.1, "min_keep": 7},
        {"temperature": 0.5, "min_p": 0.2, "samplers": ("temperature", "min_p")},
        {"mirostat": 1},
        {"mirostat": 2},
    ],
    ids=str,
)
def test_two_hundred_tokens_of_a_real_row_suffice(
    page: Page, real_rows: list[Logits], changes: dict[str, object]
) -> None:
    cases = [Case(row, 200, changes, mu=4.0) for row in real_rows]
    verdicts = [_check(case, told) for case, told in zip(cases, _ranked(page, cases), strict=True)]
    # Of one token of six prompts nearly nothing is certain; there a slope or a temperature may want more.
    assert verdicts.count(None) >= len(real_rows) - 2, verdicts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"top_k": 6}, "top_k: 6 tokens are wanted"),
        ({"top_p": 0.99}, "top_p: 99 % of the probability is wanted"),
        ({"min_p": 1e-6}, "min_p: tokens down to 0.0001 % of the likeliest"),
        ({"temperature": 2.0}, "temperature: the temperature changes the weight of every token"),
        ({"top_p": 0.9999, "typical_p": 0.5, "samplers": ("top_p", "typical_p")}, "top_p: 99.99 %"),
        ({"adaptive_target": 0.3}, "draw: adaptive-p"),
    ],
    ids=str,
)
def test_what_is_not_stored_is_said(page: Page, changes: dict[str, object], words: str) -> None:
    row = np.random.default_rng(2).normal(0, 1, 400).astype(np.float32)
    [told] = _ranked(page, [Case(row, 5, changes)])
    assert words in told["verdict"]


def _ranked(page: Page, cases: Sequence[Case]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = page.evaluate(_RANKED, [case.told() for case in cases])
    return told


def _check(case: Case, told: dict[str, Any]) -> str | None:
    """Hold what was ranked against the engine, and return what was said not to be known."""
    left = case.ranked()
    wanted = dict(zip(left.ids.tolist(), left.probabilities().tolist(), strict=True))
    last, verdict = told["last"], told["verdict"]
    found = {one["id"]: one for one in last["candidates"]}
    if verdict is not None and not last["isSure"]:
        return str(verdict)
    assert found.keys() <= wanted.keys(), (case.changes, case.stored)
    assert last["left"] <= len(wanted) <= last["most"], (case.changes, case.stored)
    for token_id, one in found.items():
        low, high = one["probability"] - _CLOSE, one["probability_most"] + _CLOSE
        assert low <= wanted[token_id] <= high, (case.changes, case.stored)
    if verdict is None:
        assert last["left"] == len(wanted)
        assert abs(one["probability_most"] - one["probability"]) <= _CLOSE
    return None if verdict is None else str(verdict)


def _random_case(chance: random.Random, row: Logits) -> Case:
    pick = chance.choice
    changes: dict[str, object] = {}

    def sometimes(share: float, **values: object) -> None:
        if chance.random() < share:
            changes.update(values)

    sometimes(0.5, temperature=pick([0, 0.2, 0.7, 0.8, 1.0, 1.3, 2.5]))
    sometimes(0.2, dynatemp_range=0.5)
    sometimes(0.4, top_k=pick([1, 5, 40, 180, 250]))
    sometimes(0.4, top_p=pick([0.0, 0.1, 0.5, 0.9, 0.95, 0.999]))
    sometimes(0.4, min_p=pick([1e-4, 0.01, 0.05, 0.3, 1.0]))
    sometimes(0.3, typical_p=pick([0.2, 0.5, 0.9]))
    sometimes(0.3, top_n_sigma=pick([0.5, 1.0, 2.0, 3.0]))
    sometimes(0.3, xtc_probability=1.0, xtc_threshold=pick([0.001, 0.01, 0.1, 0.3]))
    sometimes(0.2, min_keep=pick([1, 3, 30, 220]))
    sometimes(0.2, mirostat=pick([1, 2]))
    order = [*_PLAIN, "temperature"]
    chance.shuffle(order)
    sometimes(0.4, samplers=tuple(order))
    context: tuple[int, ...] = ()
    if chance.random() < 0.3:
        changes |= {"repeat_penalty": pick([0.9, 1.0, 1.1, 1.5]), "presence_penalty": pick([-0.5, 0, 0.5])}
        changes |= {"frequency_penalty": pick([0, 0.3]), "repeat_last_n": pick([-1, 3, 64])}
        context = tuple(int(token_id) for token_id in chance.choices(np.argsort(-row)[:300].tolist(), k=20))
    return Case(row, pick([5, 20, 200, 200]), changes, mu=pick([1.0, 5.0, 10.0]), context=context)
