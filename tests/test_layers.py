"""The import rules of the house: who may know of whom."""

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the top down: a part may import those of lower lines, and none of its own line or above.
LAYERS = [
    {"caravan.__main__"},
    {"caravan.cli"},
    {"caravan.ray_serve"},
    {"caravan.web"},
    {"caravan.api"},
    {"caravan.models", "caravan.observability"},
    {"caravan.media"},
    {"caravan.engine"},
    {"caravan.sizing", "caravan.chat"},
    {"caravan.llama", "caravan.grammars", "caravan.auth", "caravan.tune"},
    {"caravan.runtime", "caravan.config"},
    {"caravan_schemas", "caravan.errors", "caravan.version"},
]
HEIGHT = {part: len(LAYERS) - line for line, parts in enumerate(LAYERS) for part in parts}
# What those above the engine may name of it: plain values, and its face.
PUBLIC_ENGINE = {
    "caravan.api": {"embedding.values", "media.values", "outputs", "params"},
    "caravan.media": {"media.values"},
    "caravan.web": {"block_events", "ipc.async_engine", "ipc.spawn"},
    "caravan.observability": {"block_books", "block_events", "embedding.values", "outputs", "params"},
    "caravan.ray_serve": {"block_events", "embedding.values", "ipc.async_engine", "outputs", "params"},
}
# `engine/ipc` is the border: it runs in the server's process, and what else is in the engine in the child's.
# What crosses it is known on both sides.
BORDER = "caravan.engine.ipc."
OF_BOTH_SIDES = {"block_books", "block_events", "embedding.values", "media.values", "outputs", "params"}
MESSAGES = "ipc.messages"
# Libraries that belong to one part.
OWNED = {
    "llama_cpp": {"caravan.llama"},
    "jinja2": {"caravan.chat"},
    "jsonschema": {"caravan.grammars", "caravan.tune"},
    "sqlite3": {"caravan.api"},
    "llguidance": {"caravan.grammars", "caravan.engine"},
    "fastapi": {"caravan.web"},
    "starlette": {"caravan.web", "caravan.ray_serve"},
    "python_multipart": {"caravan.web"},
    "sse_starlette": {"caravan.web"},
    "uvicorn": {"caravan.web"},
    "h11": {"caravan.web"},
    "typer": {"caravan.cli"},
    "rich": {"caravan.cli"},
    "prompt_toolkit": {"caravan.cli"},
    "httpx": {"caravan.cli", "caravan.media", "caravan.tune"},
    "matplotlib": {"caravan.tune"},
    "optuna": {"caravan.tune"},
    "huggingface_hub": {"caravan.models"},
    "opentelemetry": {"caravan.observability"},
    "prometheus_client": {"caravan.observability"},
    "zmq": {"caravan.observability"},
    "ray": {"caravan.ray_serve"},
    "yaml": {"caravan.ray_serve"},
}

FILES = {
    path: ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
    for source in (ROOT / "schemas", ROOT / "server")
    for path in sorted(source.rglob("*.py"))
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upward(path: Path) -> None:
    part = _part(FILES[path])
    for module in _imports(path):
        if module.split(".")[0] in ("caravan", "caravan_schemas"):
            other = _part(module)
            assert other in (part, "caravan") or HEIGHT[other] < HEIGHT[part], (
                f"{part} must not know {module}"
            )
        else:
            owners = OWNED.get(module.split(".")[0])
            assert owners is None or part in owners, f"{module} belongs to {owners}"


def test_the_page_shows_these_layers_and_every_package() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    shown = re.search(r"^## Layers$.*?^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    lines = [set(line.split(", ")) for line in shown[1].splitlines()]
    untold = {"__main__", "version"}
    layers = [{part.removeprefix("caravan.") for part in parts} - untold for parts in LAYERS]
    assert lines == [parts for parts in layers if parts]
    packages = [path.parent for path in (ROOT / "server/caravan").glob("*/__init__.py")]
    assert all(f"| `{package.relative_to(ROOT)}/` |" in page for package in packages)


def test_any_module_may_be_imported_first() -> None:
    """A circle works for whoever enters it at the right place, and fails for a command that does not."""
    order = graphlib.TopologicalSorter({module: _loads(path, module) for path, module in FILES.items()})
    order.prepare()


@pytest.mark.parametrize("part", PUBLIC_ENGINE)
def test_those_above_know_the_engines_values_only(part: str) -> None:
    known = {f"caravan.engine.{name}" for name in PUBLIC_ENGINE[part]}
    for path in (path for path, module in FILES.items() if _part(module) == part):
        engine = {module for module in _imports(path) if module.startswith("caravan.engine.")}
        assert engine <= known, path


def test_the_engines_border_is_one_folder() -> None:
    for path, module in FILES.items():
        imports = _imports(path)
        engine = {name.removeprefix("caravan.engine.") for name in imports if _part(name) == "caravan.engine"}
        if module.startswith(BORDER):
            assert {name for name in engine if not name.startswith("ipc.")} <= OF_BOTH_SIDES, path
        elif module.startswith("caravan.engine."):
            assert "asyncio" not in imports, path
            assert {name for name in engine if name.startswith("ipc")} <= {MESSAGES}, path


def test_threads_are_waited_for_in_one_way() -> None:
    """Whoever is cancelled leaves a thread behind, unless `caravan.runtime.threads` runs it."""
    others = ("to_thread", "run_in_executor", "run_in_threadpool")
    assert not [path for path in FILES for other in others if f"{other}(" in path.read_text()]


def _part(module: str) -> str:
    """The part of the house that a module is in: the first folder or file below the package."""
    parts = module.split(".")
    return parts[0] if parts[0] == "caravan_schemas" else ".".join(parts[:2])


def _imports(path: Path) -> set[str]:
    return set(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _loads(path: Path, module: str) -> set[str]:
    """The modules of ours that loading this one loads first, packages around them included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    loaded = set(_imported(top)) & set(FILES.values())
    packages = {name.rsplit(".", depth)[0] for name in loaded for depth in range(1, name.count(".") + 1)}
    return {name for name in loaded | packages if name != module and not module.startswith(f"{name}.")}


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & set(FILES.values())
            yield from modules
            if modules != names:
                yield node.module
