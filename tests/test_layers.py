"""The import rules of the house: who may know of whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer, and the parts of our own code that it may import besides itself.
ALLOWED = {
    "schemas": set(),
    "server.errors": set(),
    "server.version": set(),
    "server.plain_text": set(),
    "server.beginning": set(),
    "server.caller": set(),
    "server.garbage": set(),
    "server.json_pointer": set(),
    "server.panics": set(),
    "server.running": set(),
    "server.signals": set(),
    "server.child_process": {"server.signals", "server.threads"},
    "server.memory": {"server.errors", "server.machine"},
    "server.threads": {"server.errors", "server.panics"},
    "server.json_size": {"server.errors"},
    "server.json_grammar": {"server.json_pointer"},
    "server.sharing": set(),
    "server.auth": {"server.errors", "server.settings"},
    "server.metrics": {"server.engine"},
    "server.record": {"server.engine", "server.metrics"},
    "server.log_writer": set(),
    "server.logs": {"server.log_writer", "server.plain_text", "server.record"},
    "server.tracing": {"server.record", "server.version"},
    "server.model_settings": set(),
    "server.model_store": {"server.llama"},
    "server.model_files": {"server.llama", "server.model_store"},
    "server.settings": {"server.model_settings", "server.model_store"},
    "server.llama": set(),
    "server.resident": set(),
    "server.machine": set(),
    "server.planning": {
        "server.engine",
        "server.llama",
        "server.machine",
        "server.model_settings",
        "server.settings",
    },
    "server.engine": {
        "server.beginning",
        "server.child_process",
        "server.errors",
        "server.garbage",
        "server.json_grammar",
        "server.json_pointer",
        "server.llama",
        "server.machine",
        "server.panics",
        "server.sharing",
        "server.threads",
    },
    "server.chat": {
        "schemas",
        "server.beginning",
        "server.caller",
        "server.child_process",
        "server.errors",
        "server.json_size",
        "server.json_grammar",
        "server.json_pointer",
        "server.machine",
        "server.sharing",
    },
    "server.loaded_model": {"server.chat", "server.engine", "server.llama", "server.sharing"},
    "server.registry": {
        "server.chat",
        "server.engine",
        "server.errors",
        "server.llama",
        "server.loaded_model",
        "server.machine",
        "server.model_files",
        "server.model_settings",
        "server.model_store",
        "server.planning",
        "server.resident",
        "server.settings",
        "server.caller",
        "server.threads",
        "server.version",
    },
    "server.service": {
        "schemas",
        "server.beginning",
        "server.chat",
        "server.engine",
        "server.errors",
        "server.json_size",
        "server.json_grammar",
        "server.json_pointer",
        "server.loaded_model",
        "server.metrics",
        "server.record",
        "server.registry",
        "server.sharing",
        "server.version",
        "server.caller",
        "server.panics",
        "server.threads",
        "server.memory",
    },
    "server.routes": {
        "schemas",
        "server.errors",
        "server.json_size",
        "server.loaded_model",
        "server.metrics",
        "server.record",
        "server.registry",
        "server.service",
        "server.sharing",
        "server.tracing",
        "server.caller",
        "server.auth",
        "server.panics",
        "server.threads",
        "server.memory",
    },
    "server.app": {
        "schemas",
        "server.metrics",
        "server.registry",
        "server.routes",
        "server.service",
        "server.settings",
        "server.tracing",
        "server.version",
        "server.auth",
    },
    "server.net": {"server.errors", "server.routes", "server.settings"},
    "server.banner": {"server.engine", "server.registry"},
    "server.web": {
        "server.app",
        "server.auth",
        "server.machine",
        "server.net",
        "server.registry",
        "server.routes",
        "server.service",
        "server.settings",
        "server.signals",
        "server.tracing",
    },
    "server.startup": {
        "server.auth",
        "server.llama",
        "server.registry",
        "server.service",
        "server.settings",
        "server.web",
    },
    "server.serving": {
        "server.banner",
        "server.garbage",
        "server.loaded_model",
        "server.registry",
        "server.running",
        "server.settings",
        "server.signals",
        "server.startup",
        "server.threads",
        "server.web",
    },
    "server.hub": {"server.llama", "server.model_store"},
    "server.configuration": {"server.settings"},
    "server.cli": {
        "server.chat",
        "server.banner",
        "server.child_process",
        "server.configuration",
        "server.garbage",
        "server.logs",
        "server.hub",
        "server.engine",
        "server.llama",
        "server.loaded_model",
        "server.machine",
        "server.model_files",
        "server.model_store",
        "server.net",
        "server.plain_text",
        "server.planning",
        "server.registry",
        "server.resident",
        "server.running",
        "server.serving",
        "server.settings",
        "server.startup",
        "server.version",
        "server.auth",
    },
    "server.__main__": {"server.cli"},
}
# Parts of the engine that services and routes may name: plain values, and what writes constraints.
PUBLIC_ENGINE = {
    "server.engine.embedding",
    "server.engine.outputs",
    "server.engine.params",
    "server.engine.config",
    "server.engine.grammar",
    "server.engine.recognition",
}
# Libraries that belong to one layer.
OWNED = {
    "llama_cpp": {"server.llama"},
    "jinja2": {"server.chat"},
    "jsonschema": {"server.service"},
    "sqlite3": {"server.service"},
    "llguidance": {"server.engine"},
    "fastapi": {"server.routes", "server.app"},
    "starlette": {"server.routes"},
    "sse_starlette": {"server.routes"},
    "uvicorn": {"server.net", "server.web"},
    "h11": {"server.net"},
    "typer": {"server.cli"},
    "rich": {"server.cli"},
    "prompt_toolkit": {"server.cli"},
    "huggingface_hub": {"server.hub"},
    "opentelemetry": {"server.tracing"},
}

FILES = [path for folder in ("schemas", "server") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upward(path: Path) -> None:
    layer = _layer(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in _imports(path):
        owners = OWNED.get(module.split(".")[0])
        assert owners is None or layer in owners, f"{module} belongs to {owners}"
        if module.split(".")[0] in ("schemas", "server") and _layer(module) not in (layer, "server"):
            assert _layer(module) in ALLOWED[layer], f"{layer} must not know {module}"


def test_services_and_routes_know_the_engines_values_only() -> None:
    for folder in ("service", "routes"):
        for path in (ROOT / "server" / folder).rglob("*.py"):
            engine = {module for module in _imports(path) if module.startswith("server.engine")}
            assert engine <= PUBLIC_ENGINE


def test_of_the_engine_only_its_border_knows_asyncio() -> None:
    knowing = {path.stem for path in (ROOT / "server/engine").glob("*.py") if "asyncio" in _imports(path)}
    assert knowing <= {"client", "child", "embedding_calls", "mailbox", "supervisor"}


def test_threads_are_waited_for_in_one_way() -> None:
    """Whoever is cancelled leaves a thread behind, unless `server.threads` runs it."""
    others = ("to_thread", "run_in_executor", "run_in_threadpool")
    assert not [path for path in FILES for other in others if f"{other}(" in path.read_text()]


def _layer(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "schemas" or len(parts) == 1:
        return parts[0]
    return ".".join(parts[:2]) if parts[1] != "__init__" else "server"


def _imports(path: Path) -> set[str]:
    return set(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            if node.module == "server":
                yield from (f"server.{alias.name}" for alias in node.names)
            else:
                yield node.module
                yield from (
                    f"{node.module}.{alias.name}"
                    for alias in node.names
                    if (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists()
                )
