"""The library says which of our patches it has."""

import pytest
from caravan.llama import library

from deploy.build import source


def test_a_build_of_ours_has_all_of_them() -> None:
    """A build goes on without a patch that does not fit; with the pinned llama.cpp all of them do."""
    if not library.patches():
        pytest.skip("another build of llama.cpp")
    assert library.patches() == {path.stem for path in source.PATCHES.glob("*.patch")}


def test_attention_is_ours_where_its_patch_is() -> None:
    if library.has_runs_of_rows() and library.patches():
        assert "attention-by-sequence" in library.patches()


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ("CPU : AVX2 = 1 | PATCHES = a,b-c | ", {"a", "b-c"}),
        ("CPU : AVX2 = 1 | ", set()),
    ],
)
def test_reads_what_the_library_says(monkeypatch: pytest.MonkeyPatch, info: str, found: set[str]) -> None:
    monkeypatch.setattr(library, "system_info", lambda: info)
    assert library.patches() == found
