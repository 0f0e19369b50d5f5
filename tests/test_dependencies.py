"""What is imported is declared: a package that comes with another may stop coming with it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FILES = [path for folder in ("server", "schemas") for path in sorted((ROOT / folder).rglob("*.py"))]
OURS = {"caravan", "caravan_schemas"}
# Private parts of others, and packages whose undocumented parts are overridden: their pins are tight.
PRIVATE = {"h11._receivebuffer"}
OVERRIDDEN = ["h11", "uvicorn"]


def imported() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def normal(name: str) -> str:
    """A package's name as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, str]:
    """Specifiers of all dependencies but those for development, by name."""
    extras = PROJECT["optional-dependencies"]
    kinds = ("otel", "kv-events", "ray", "tune")
    lines = [*PROJECT["dependencies"], *(line for kind in kinds for line in extras[kind])]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)(.*)", line) for line in lines]
    return {normal(match[1]): match[2] for match in found if match is not None}


def others() -> Iterator[tuple[Path, str, set[str]]]:
    """What is imported of others, where, and the packages that it may come from."""
    packages = packages_distributions()
    for path, module in imported():
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names | OURS:
            yield path, module, {normal(name) for name in packages.get(top, [top])}


def test_whatever_is_imported_is_declared() -> None:
    known = declared()
    for path, module, providers in others():
        assert providers & known.keys(), f"{path} imports {module}"


def test_whatever_is_declared_is_imported() -> None:
    used = {name for _, _, providers in others() for name in providers}
    assert declared().keys() <= used


def test_private_parts_of_others_are_not_used() -> None:
    for path, module, _ in others():
        is_private = any(part.startswith("_") and not part.startswith("__") for part in module.split("."))
        assert not is_private or module.startswith(tuple(PRIVATE)), f"{path} imports {module}"


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_what_we_reach_into_is_pinned_to_one_minor_version(name: str) -> None:
    found = re.fullmatch(r">=0\.(\d+),<0\.(\d+)", declared()[name])
    assert found is not None
    assert int(found[2]) == int(found[1]) + 1
