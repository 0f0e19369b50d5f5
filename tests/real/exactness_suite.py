"""Real models give a request the same text: to the last bit in the engine, twelve of twelve over HTTP."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from caravan.llama.model import Model

from tests.engine.exactness import DRAWS, SITUATIONS, Exactness
from tests.real.conftest import RealServer
from tests.real.materials import GEMMA, SMOLLM2

PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a small robot who",
    "def fibonacci(n):\n    ",
    "A list of ten animals that live in the sea: whale, shark,",
)
NUM_TOKENS = 48
NUM_OTHERS = 24


@pytest.fixture(scope="module", params=[SMOLLM2, GEMMA], ids=["smollm2", "gemma"])
def exactness(request: pytest.FixtureRequest) -> Exactness:
    path: Path = request.param
    model = Model(path)
    prompts = [model.vocab.tokenize(text, add_special=True, parse_special=False) for text in PROMPTS[:3]]
    model.close()
    # The vocabulary of Gemma is large: fewer tokens there.
    few = path == GEMMA
    return Exactness(path, prompts, num_tokens=6 if few else 12, num_others=6 if few else 16)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_to_the_last_bit(exactness: Exactness, situation: str) -> None:
    SITUATIONS[situation](exactness)


class _Asked:
    """The twelve requests: four prompts, three ways to draw."""

    def __init__(self, server: RealServer) -> None:
        self._server = server
        self.names = [(prompt, draw) for prompt in range(len(PROMPTS)) for draw in range(len(DRAWS))]
        self.texts: dict[tuple[int, int], set[str]] = {name: set() for name in self.names}

    def ask(self, name: tuple[int, int]) -> None:
        prompt, draw = name
        self.texts[name].add(self._complete(PROMPTS[prompt], NUM_TOKENS, dict(DRAWS[draw])))

    def disturb(self, number: int) -> None:
        rng = random.Random(number)
        words = [rng.choice(("blue", "river", "seven", "lamp", "run")) for _ in range(rng.randrange(1, 120))]
        self._complete(" ".join(words), rng.randrange(2, NUM_TOKENS), {"temperature": 1.0})

    def _complete(self, prompt: str, num_tokens: int, draw: dict[str, float]) -> str:
        answer = self._server.client.completions.create(
            model=self._server.model,
            prompt=prompt,
            max_tokens=num_tokens,
            extra_body={"ignore_eos": True, **draw},
        )
        return str(answer.choices[0].text)


@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_twelve_of_twelve(name: str, request: pytest.FixtureRequest) -> None:
    """One after the other twice, after 24 others, among 24 others, and in reverse."""
    server = request.getfixturevalue(name)
    assert isinstance(server, RealServer)
    asked = _Asked(server)
    with ThreadPoolExecutor(16) as pool:
        for one in (*asked.names, *asked.names):
            asked.ask(one)
        list(pool.map(asked.disturb, range(NUM_OTHERS)))
        for one in asked.names:
            asked.ask(one)
        jobs = [pool.submit(asked.ask, item) for item in asked.names]
        jobs += [pool.submit(asked.disturb, NUM_OTHERS + number) for number in range(NUM_OTHERS)]
        for job in jobs:
            job.result()
        for one in reversed(asked.names):
            asked.ask(one)
    assert {item: len(texts) for item, texts in asked.texts.items() if len(texts) > 1} == {}
