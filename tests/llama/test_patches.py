"""The library says which of our patches it has."""

import re

import pytest
from caravan.llama import library

from deploy.build import source


def patches() -> frozenset[str]:
    """Which of `deploy/build/patches` are in this build of llama.cpp; none in one that is not ours."""
    match = re.search(r"PATCHES = (\S+)", library.system_info())
    return frozenset(match[1].split(",")) if match else frozenset()


def test_a_build_of_ours_has_all_of_them() -> None:
    """A build goes on without a patch that does not fit; with the pinned llama.cpp all of them do."""
    if not patches():
        pytest.skip("another build of llama.cpp")
    assert patches() == {path.stem for path in source.PATCHES.glob("*.patch")}


def test_attention_is_ours_where_its_patch_is() -> None:
    if library.has_runs_of_rows() and patches():
        assert "attention-by-sequence" in patches()
