"""Engines of each kind, and images for them."""

from pathlib import Path

import pytest
from caravan.llama.model_file import LookAtWeights, always_sound

from tests.engine.harness import Harness
from tests.engine.media.fake_positions import FakePositions
from tests.engine.media.images import Image, random_image
from tests.engine.media.kinds import KINDS, Draw, Open
from tests.fakes import FakeContext


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str) -> Open:
    def open_one(
        num_cells: int = 4096,
        max_sequences: int = 16,
        batch_size: int | None = None,
        checkpoint_bytes: int | None = None,
        look_at_weights: LookAtWeights = always_sound,
    ) -> Harness:
        context = FakeContext(num_cells, max_sequences)
        if kind == "positions":
            context = FakePositions(num_cells, max_sequences)
        elif kind == "state":
            context = FakeContext(num_cells, max_sequences, can_cut=False, can_checkpoint=True)
        elif kind == "windows":
            context = FakeContext(
                num_cells, max_sequences, sliding_window=24, keeps_windows=True, can_checkpoint=True
            )
        elif kind == "whole":
            # The largest image has to fit.
            batch_size = batch_size or 80
        return Harness(
            context,
            batch_size=batch_size,
            checkpoint_bytes=checkpoint_bytes,
            positioned=kind == "positions",
            look_at_weights=look_at_weights,
        )

    return open_one


@pytest.fixture
def draw(kind: str, tmp_path: Path) -> Draw:
    def draw_one(seed: int, rows: int = 3, columns: int = 5) -> Image:
        grid = (rows, columns) if kind == "positions" else None
        return random_image(tmp_path, seed, rows * columns, grid=grid, is_causal=kind != "whole")

    return draw_one
