"""A few hundred requests of all kinds, with keys; `fuzz_suite.py` has the thousands."""

import sys
from pathlib import Path

import pytest

from tests.faults.fuzz_suite import assault

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


def test_hundreds_of_requests_find_no_fault(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    assault(tiny_options, tmp_path, num_requests=400, seed=1)
