"""The wheel of this tree: what it installs, and that it serves without the tree."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Finds the package where the wheel was unpacked, whatever else is installed, and names strangers.
_LOAD = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
sys.path.insert(0, sys.argv[1])
import caravan.cli.commands.serve, caravan.web.lifecycle, caravan.engine.worker
from caravan.models.resident import model_path
print(model_path())
print(*{module.split(".")[0] for module in sys.modules} & {"server", "schemas", "tests", "deploy"})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Not in the tree itself, where setuptools would find what it left behind for an older one.
    tree, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("server", "schemas"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(tree)], check=True, timeout=300)
    return next(folder.glob("*.whl"))


def test_it_installs_two_packages_that_collide_with_nobodys(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"caravan", "caravan_schemas"}
    assert {"caravan/py.typed", "caravan_schemas/py.typed"} <= set(names)
    assert "caravan/models/resident/resident.gguf" in names


def test_it_holds_all_that_it_needs(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", _LOAD, str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment, check=True
    )
    path, strangers = done.stdout.splitlines()
    assert Path(path).is_relative_to(tmp_path)
    assert strangers == ""
