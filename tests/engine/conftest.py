"""The modes in which the scheduler ships."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from caravan.llama import library

from tests.engine.harness import Harness
from tests.engine.lives import Lives
from tests.fakes import FakeContext


@pytest.fixture(params=[False, True], ids=["rows", "tiles"])
def either_attention(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention on a processor that keeps rows apart, as with the library of `make`, and attention with
    tiles, as with any other; there batches are large enough to have some.
    """
    monkeypatch.setattr(FakeContext, "attention_has_tiles", request.param)
    monkeypatch.setattr(library, "has_runs_of_rows", lambda: not request.param)
    if request.param:
        monkeypatch.setattr(Harness, "usual_batch_size", 160)


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    """Engines with one folder, which is let go at the end."""
    lives = Lives(tmp_path)
    yield lives
    lives.end()
