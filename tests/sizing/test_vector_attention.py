"""Flash attention makes vectors where it keeps texts apart, and where pairs would take too much memory."""

from pathlib import Path

import pytest
from caravan.llama import library
from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.memory_estimate import bytes_of_vectors
from caravan.sizing.vector_attention import keeps_pairs

METADATA: dict[str, str | int | bool | tuple[int, ...]] = {
    "general.architecture": "bert",
    "bert.block_count": 6,
    "bert.embedding_length": 384,
    "bert.feed_forward_length": 1536,
    "bert.attention.head_count": 12,
    "bert.attention.causal": False,
}


def header(**changes: int | tuple[int, ...]) -> GgufHeader:
    changed = {f"bert.{name.replace('__', '.')}": value for name, value in changes.items()}
    return GgufHeader(
        path=Path("a.gguf"), metadata={**METADATA, **changed}, lengths={}, num_tensors=0, file_size=0
    )


@pytest.fixture(params=[True, False], ids=["ours", "llama.cpp's"])
def is_ours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the library has our attention."""
    monkeypatch.setattr(library, "has_runs_of_rows", lambda: request.param)
    return bool(request.param)


def test_llama_cpps_own_flash_attention_makes_no_vectors(is_ours: bool) -> None:
    assert keeps_pairs(header(), 512, 512) != is_ours
    assert not keeps_pairs(header(), 8192, 8192)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention__head_count": 16},
        {"attention__key_length": 24},
        {"attention__value_length": 20},
        {"attention__key_length": 64, "attention__key_length_swa": 40},
        {"attention__key_length": (64, 40)},
    ],
)
@pytest.mark.usefixtures("is_ours")
def test_heads_that_ours_does_not_take_keep_pairs(changes: dict[str, int | tuple[int, ...]]) -> None:
    assert keeps_pairs(header(**changes), 512, 512)


def test_pairs_are_counted_where_they_are_kept(is_ours: bool) -> None:
    pairs = 1024 * 1024 * 12 * 4
    assert (bytes_of_vectors(header(), 1024) > pairs) != is_ours
