"""Engines over real tiny models, whose prompts have images: each answer is that of the prompt alone, by
straight calls of llama.cpp with each image as a whole.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from caravan.engine.params import GenerationRequest

from tests.engine.harness import request
from tests.engine.media.images import Image, Part, random_image, with_images
from tests.engine.media.models import WITH_GRIDS, write_media_model
from tests.engine.media.reference import MediaReference
from tests.engine.real_harness import RealHarness

pytestmark = pytest.mark.usefixtures("either_attention")

KINDS = ["llama", "gemma3", "qwen2vl", "qwen3vl", "lfm2", "mamba"]
Open = Callable[..., RealHarness]


class MediaHarness(RealHarness):
    """An engine with a projector."""

    projector_path = "given"


class WindowsMediaHarness(MediaHarness):
    """The same, where layers with a window keep no more than that."""

    num_window_cells = 256


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(kind: str, tmp_path: Path) -> Path:
    return write_media_model(tmp_path, kind)[0]


@pytest.fixture
def opened(path: Path, kind: str) -> Iterator[Open]:
    made: list[RealHarness] = []

    def open_one(**settings: int) -> RealHarness:
        harness = WindowsMediaHarness if kind == "gemma3" else MediaHarness
        made.append(harness(path, **settings))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


class Asked:
    """Prompts of a kind of model with their answers, which rounding cannot change."""

    def __init__(self, path: Path, kind: str, folder: Path, seed: int) -> None:
        self._rng = random.Random(seed)
        self._kind = kind
        self._reference = MediaReference(path)
        self._images = [self.image(folder, number) for number in range(3)]
        self._stems: list[list[Part]] = [
            [self.text(1, 30), image, self.text(1, 20)] for image in self._images
        ]
        self.expected: dict[str, list[int]] = {}

    def image(self, folder: Path, number: int) -> Image:
        rows, columns = self._rng.randrange(2, 6), self._rng.randrange(2, 9)
        grid = (rows, columns) if self._kind in WITH_GRIDS else None
        is_causal = self._kind != "gemma3"
        return random_image(
            folder,
            number,
            rows * columns,
            width=self._reference.context.media_width,
            grid=grid,
            is_causal=is_causal,
        )

    def text(self, least: int, most: int) -> list[int]:
        return [self._rng.randrange(256) for _ in range(self._rng.randrange(least, most))]

    def prompt(self) -> list[Part]:
        parts: list[Part] = [*self._rng.choice(self._stems)]
        if self._rng.random() < 0.5:
            parts += [self._rng.choice(self._images), self.text(1, 12)]
        return [*parts, self.text(1, 12)]

    def request(self, parts: list[Part] | None = None) -> GenerationRequest:
        name = f"r{len(self.expected)}"
        for _ in range(60):
            asked = parts or self.prompt()
            answer = self._reference.answer(asked, 12)
            if answer.decided and answer.token_ids:
                self.expected[name] = answer.token_ids
                made = request(name, [0], max_tokens=len(answer.token_ids))
                return with_images(msgspec.structs.replace(made, tells_token_ids=True), asked)
        raise AssertionError("every answer hangs on rounding")

    def requests(self, count: int) -> list[GenerationRequest]:
        return [self.request() for _ in range(count)]

    def close(self) -> None:
        self._reference.close()


@pytest.fixture
def asked(path: Path, kind: str, tmp_path: Path) -> Iterator[Asked]:
    made = Asked(path, kind, tmp_path, 1)
    yield made
    made.close()


def answers(harness: RealHarness) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for output in harness.outputs:
        found.setdefault(output.request_id, []).extend(output.token_ids)
    return found


def test_a_batch_gives_the_answers_of_each_alone(opened: Open, asked: Asked) -> None:
    harness = opened()
    harness.run(asked.requests(8))
    assert answers(harness) == asked.expected


def test_a_warm_cache_gives_the_answers_of_a_cold_one(opened: Open, asked: Asked) -> None:
    harness = opened(checkpoint_bytes=1 << 24)
    made = asked.requests(8)
    for item in made:
        harness.run([item])
    assert answers(harness) == asked.expected
    assert sum(harness.cached_tokens(item.id) for item in made) > 60


def test_scarce_memory_gives_the_same_answers(opened: Open, asked: Asked, kind: str) -> None:
    harness = opened(num_cells=256, max_sequences=4)
    harness.run(asked.requests(10))
    assert answers(harness) == asked.expected
    stats = harness.engine.stats()
    assert stats.num_preemptions or stats.num_evictions
    if kind not in WITH_GRIDS:
        # Whose sequences are counted in positions there.
        harness.check_cells()


def test_the_same_image_is_shared_and_another_gives_another_answer(opened: Open, asked: Asked) -> None:
    harness = opened(checkpoint_bytes=1 << 24)
    first, second, _ = asked._images
    end = [9, 8, 7]
    a, b = asked.request([[1] * 20, first, end]), asked.request([[1] * 20, first, end])
    harness.run([a])
    harness.run([b])
    assert answers(harness) == asked.expected
    assert harness.cached_tokens(b.id) >= 20 + len(first.embeddings)
    assert asked._reference.answer([[1] * 20, second, end], 12).token_ids != asked.expected[a.id]
