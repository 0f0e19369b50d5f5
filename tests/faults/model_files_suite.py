"""All that can be done to a model's file in the middle of steps, each at several moments."""

import shutil
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.faults.conftest import Others
from tests.faults.file_harm import HARMS, Work, suffer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

# Of a step of some milliseconds, and of a prompt of some hundred.
_PAUSES = (0.0, 0.013, 0.137)


@pytest.mark.parametrize("pause", _PAUSES)
@pytest.mark.parametrize("work", get_args(Work))
@pytest.mark.parametrize("name", HARMS)
def test_no_text_is_of_weights_that_changed_under_it(
    tiny: Path, tmp_path: Path, other_files: Others, name: str, work: Work, pause: float
) -> None:
    file = Path(shutil.copy(tiny, tmp_path / "model.gguf"))
    noticed = suffer(file, other_files, name, work, pause)
    print(f"{name}, {work}, {pause} s: an error after {noticed} s")
