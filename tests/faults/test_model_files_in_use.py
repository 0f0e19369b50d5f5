"""A model's file is changed in the middle of steps; `model_files_suite.py` tries the other ways."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.bystanders import Bystanders, bystanders
from tests.faults.conftest import MODEL, Others
from tests.faults.failing_disk import failing_disk
from tests.faults.file_harm import Work, assert_honest, suffer
from tests.faults.process import server_process
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


@pytest.fixture
def file(tiny: Path, tmp_path: Path) -> Path:
    """A file that a test may do anything to."""
    return Path(shutil.copy(tiny, tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("written again", "decode"),
        ("another training", "decode"),
        ("another training", "prefill"),
        ("cut to nothing", "prefill"),
    ],
)
def test_no_text_is_of_weights_that_changed_under_it(
    file: Path, other_files: Others, name: str, work: Work
) -> None:
    noticed = suffer(file, other_files, name, work)
    print(f"{name}, {work}: an error after {noticed} s")


def test_a_disk_that_fails_costs_what_runs(tiny: Path, tmp_path: Path) -> None:
    with failing_disk(tmp_path / "disk", tiny.read_bytes()) as disk:
        options = ("--model", str(disk.path), "--model-id", MODEL, "--context-size", "2048", "--threads", "1")
        with server_process(*options) as server:
            with bystanders(server.address, MODEL, count=3) as crowd:
                crowd.wait_for(3)
                disk.fail()
                wait_until(lambda: bool(crowd.seen.lost))
                wait_until(lambda: "Input/output error" in server.output)
                disk.heal()
                server.wait_ready()
                crowd.wait_for(3)
            assert "SIGBUS" in server.output
            assert not server.has_ended
            assert_honest(crowd, Bystanders(server.address, MODEL).expected)
            assert crowd.seen.changed == []
