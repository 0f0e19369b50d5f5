"""What others wrote and lies in the tree: one list has all of it, and it is what was looked at."""

import hashlib
import json
from pathlib import Path

import caravan.web.docs_page.files
import caravan.web.page.files
import pytest

FOLDER = Path(caravan.web.page.files.__file__).parent / "static" / "vendor"
VIEWER = caravan.web.docs_page.files.STATIC
LIST = json.loads((FOLDER / "vendor.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", LIST, ids=lambda entry: str(entry["path"]))
def test_a_file_is_the_one_that_is_listed(entry: dict[str, str]) -> None:
    assert hashlib.sha256((FOLDER / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_every_file_is_listed_with_its_licence() -> None:
    parts = [part for entry in LIST for part in (entry, *entry.get("contains", []))]
    for part in parts:
        assert part["licence"]
        assert part["version"]
        assert (FOLDER / part["licence_file"]).read_text(encoding="utf-8").strip(), part["package"]
    listed = {(FOLDER / entry["file"]).resolve() for entry in LIST}
    listed |= {(FOLDER / part["licence_file"]).resolve() for part in parts}
    ours = ("vendor.json", ".d.ts")
    lying = {path.resolve() for path in FOLDER.iterdir() if not path.name.endswith(ours)}
    lying |= {path.resolve() for path in VIEWER.glob("swagger-ui*") if path.name != "swagger-ui.NOTICE.txt"}
    assert listed == lying
