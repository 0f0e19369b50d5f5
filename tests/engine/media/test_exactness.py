"""A request with images alone, and the same request in every other situation, on real kernels: the same text
and the same log probabilities, to the last bit (`tests/engine/test_exactness.py` for those without).

With M-RoPE, the cells of an image have one position together.
"""

import random
from typing import ClassVar

import pytest
from caravan.engine.params import GenerationRequest

from tests.engine.exactness import SITUATIONS, Exactness
from tests.engine.media.images import Part, random_image, with_images
from tests.engine.media.models import WITH_GRIDS, write_media_model
from tests.engine.media.test_real import MediaHarness, WindowsMediaHarness

KINDS = ["llama", "gemma3", "qwen2vl", "qwen3vl", "lfm2", "mamba"]


class MediaExactness(Exactness):
    """Prompts by the tokens that stand for them: their number among `parts`."""

    parts: ClassVar[list[list[Part]]] = []

    def _request(self, name: str, token_ids: list[int], draw: dict[str, float]) -> GenerationRequest:
        made = super()._request(name, token_ids, draw)
        return with_images(made, self.parts[token_ids[0]])


@pytest.fixture(scope="module", params=KINDS)
def exactness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exactness:
    kind, folder = request.param, tmp_path_factory.mktemp("images")
    path, width = write_media_model(folder, kind)
    rng = random.Random(5)
    # With M-RoPE of more cells than our attention has in a block.
    grids = ((5, 6), (9, 15)) if kind in WITH_GRIDS else (None, None)
    one, two = (
        random_image(
            folder,
            seed,
            grid[0] * grid[1] if grid else 30,
            width=width,
            grid=grid,
            is_causal=kind != "gemma3",
        )
        for seed, grid in enumerate(grids, 1)
    )
    stem = [rng.randrange(256) for _ in range(40)]
    MediaExactness.parts = [
        [stem, one, [rng.randrange(256) for _ in range(9)]],
        [stem, one, [rng.randrange(256) for _ in range(50)], two, [7, 8, 9]],
        [two, [5, 6]],
    ]
    make = WindowsMediaHarness if kind == "gemma3" else MediaHarness
    prompts = [[number] for number in range(len(MediaExactness.parts))]
    return MediaExactness(path, prompts, num_tokens=12, num_others=20, make_harness=make)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_to_the_last_bit(exactness: Exactness, situation: str) -> None:
    SITUATIONS[situation](exactness)
