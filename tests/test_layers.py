"""The import rules of the house: who may know of whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer, and the parts of our own code that it may import besides itself.
ALLOWED = {
    "schemas": set(),
    "caravan.errors": set(),
    "caravan.version": set(),
    "caravan.runtime.plain_text": set(),
    "caravan.grammars.call_prefix": set(),
    "caravan.auth.principal": set(),
    "caravan.runtime.gc_tuning": set(),
    "caravan.grammars.json_schema.json_pointer": set(),
    "caravan.runtime.panics": set(),
    "caravan.web.running": set(),
    "caravan.runtime.signals": set(),
    "caravan.runtime.children": {"caravan.runtime.signals", "caravan.runtime.threads"},
    "caravan.runtime.memory": {"caravan.errors", "caravan.runtime.machine"},
    "caravan.runtime.threads": {"caravan.errors", "caravan.runtime.panics"},
    "caravan.runtime.json_size": {"caravan.errors"},
    "caravan.grammars.exact_json": {"caravan.grammars.json_schema.json_pointer"},
    "caravan.runtime.sharing": set(),
    "caravan.auth": {"caravan.errors", "caravan.config.settings"},
    "caravan.observability.metrics": {"caravan.engine"},
    "caravan.observability.request_metrics": {"caravan.engine", "caravan.observability.metrics"},
    "caravan.observability.log_writer": set(),
    "caravan.observability.log_format": {"caravan.observability.log_writer", "caravan.runtime.plain_text", "caravan.observability.request_metrics"},
    "caravan.observability.tracing": {"caravan.observability.request_metrics", "caravan.version"},
    "caravan.config.model_settings": set(),
    "caravan.models.local_store": {"caravan.llama"},
    "caravan.models.model_path": {"caravan.llama", "caravan.models.local_store"},
    "caravan.config.settings": {"caravan.config.model_settings", "caravan.models.local_store"},
    "caravan.llama": set(),
    "caravan.models.resident": set(),
    "caravan.runtime.machine": set(),
    "caravan.models.engine_config": {
        "caravan.engine",
        "caravan.llama",
        "caravan.runtime.machine",
        "caravan.config.model_settings",
        "caravan.config.settings",
    },
    "caravan.engine": {
        "caravan.grammars.call_prefix",
        "caravan.runtime.children",
        "caravan.errors",
        "caravan.runtime.gc_tuning",
        "caravan.grammars.exact_json",
        "caravan.grammars.json_schema.json_pointer",
        "caravan.llama",
        "caravan.runtime.machine",
        "caravan.runtime.panics",
        "caravan.runtime.sharing",
        "caravan.runtime.threads",
    },
    "caravan.chat": {
        "schemas",
        "caravan.grammars.call_prefix",
        "caravan.auth.principal",
        "caravan.runtime.children",
        "caravan.errors",
        "caravan.runtime.json_size",
        "caravan.grammars.exact_json",
        "caravan.grammars.json_schema.json_pointer",
        "caravan.runtime.machine",
        "caravan.runtime.sharing",
    },
    "caravan.models.loaded_model": {"caravan.chat", "caravan.engine", "caravan.llama", "caravan.runtime.sharing"},
    "caravan.models": {
        "caravan.chat",
        "caravan.engine",
        "caravan.errors",
        "caravan.llama",
        "caravan.models.loaded_model",
        "caravan.runtime.machine",
        "caravan.models.model_path",
        "caravan.config.model_settings",
        "caravan.models.local_store",
        "caravan.models.engine_config",
        "caravan.models.resident",
        "caravan.config.settings",
        "caravan.auth.principal",
        "caravan.runtime.threads",
        "caravan.version",
    },
    "caravan.api": {
        "schemas",
        "caravan.grammars.call_prefix",
        "caravan.chat",
        "caravan.engine",
        "caravan.errors",
        "caravan.runtime.json_size",
        "caravan.grammars.exact_json",
        "caravan.grammars.json_schema.json_pointer",
        "caravan.models.loaded_model",
        "caravan.observability.metrics",
        "caravan.observability.request_metrics",
        "caravan.models",
        "caravan.runtime.sharing",
        "caravan.version",
        "caravan.auth.principal",
        "caravan.runtime.panics",
        "caravan.runtime.threads",
        "caravan.runtime.memory",
    },
    "caravan.web.routes": {
        "schemas",
        "caravan.errors",
        "caravan.runtime.json_size",
        "caravan.models.loaded_model",
        "caravan.observability.metrics",
        "caravan.observability.request_metrics",
        "caravan.models",
        "caravan.api",
        "caravan.runtime.sharing",
        "caravan.observability.tracing",
        "caravan.auth.principal",
        "caravan.auth",
        "caravan.runtime.panics",
        "caravan.runtime.threads",
        "caravan.runtime.memory",
    },
    "caravan.web.app": {
        "schemas",
        "caravan.observability.metrics",
        "caravan.models",
        "caravan.web.routes",
        "caravan.api",
        "caravan.config.settings",
        "caravan.observability.tracing",
        "caravan.version",
        "caravan.auth",
    },
    "caravan.web.uvicorn": {"caravan.errors", "caravan.web.routes", "caravan.config.settings"},
    "caravan.web.startup_message": {"caravan.engine", "caravan.models"},
    "caravan.web.lifecycle": {
        "caravan.web.app",
        "caravan.auth",
        "caravan.runtime.machine",
        "caravan.web.uvicorn",
        "caravan.models",
        "caravan.web.routes",
        "caravan.api",
        "caravan.config.settings",
        "caravan.runtime.signals",
        "caravan.observability.tracing",
    },
    "caravan.web.startup_checks": {
        "caravan.auth",
        "caravan.llama",
        "caravan.models",
        "caravan.api",
        "caravan.config.settings",
        "caravan.web.lifecycle",
    },
    "caravan.web.serve": {
        "caravan.web.startup_message",
        "caravan.runtime.gc_tuning",
        "caravan.models.loaded_model",
        "caravan.models",
        "caravan.web.running",
        "caravan.config.settings",
        "caravan.runtime.signals",
        "caravan.web.startup_checks",
        "caravan.runtime.threads",
        "caravan.web.lifecycle",
    },
    "caravan.models.hub": {"caravan.llama", "caravan.models.local_store"},
    "caravan.config.load": {"caravan.config.settings"},
    "caravan.cli": {
        "caravan.chat",
        "caravan.web.startup_message",
        "caravan.runtime.children",
        "caravan.config.load",
        "caravan.runtime.gc_tuning",
        "caravan.observability.log_format",
        "caravan.models.hub",
        "caravan.engine",
        "caravan.llama",
        "caravan.models.loaded_model",
        "caravan.runtime.machine",
        "caravan.models.model_path",
        "caravan.models.local_store",
        "caravan.web.uvicorn",
        "caravan.runtime.plain_text",
        "caravan.models.engine_config",
        "caravan.models",
        "caravan.models.resident",
        "caravan.web.running",
        "caravan.web.serve",
        "caravan.config.settings",
        "caravan.web.startup_checks",
        "caravan.version",
        "caravan.auth",
    },
    "caravan.__main__": {"caravan.cli"},
}
# Parts of the engine that services and routes may name: plain values, and what writes constraints.
PUBLIC_ENGINE = {
    "caravan.engine.embedding.values",
    "caravan.engine.outputs",
    "caravan.engine.params",
    "caravan.config.engine_config",
    "caravan.grammars.compiler",
    "caravan.grammars.recognizer",
}
# Libraries that belong to one layer.
OWNED = {
    "llama_cpp": {"caravan.llama"},
    "jinja2": {"caravan.chat"},
    "jsonschema": {"caravan.api"},
    "sqlite3": {"caravan.api"},
    "llguidance": {"caravan.engine"},
    "fastapi": {"caravan.web.routes", "caravan.web.app"},
    "starlette": {"caravan.web.routes"},
    "sse_starlette": {"caravan.web.routes"},
    "uvicorn": {"caravan.web.uvicorn", "caravan.web.lifecycle"},
    "h11": {"caravan.web.uvicorn"},
    "typer": {"caravan.cli"},
    "rich": {"caravan.cli"},
    "prompt_toolkit": {"caravan.cli"},
    "huggingface_hub": {"caravan.models.hub"},
    "opentelemetry": {"caravan.observability.tracing"},
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
            engine = {module for module in _imports(path) if module.startswith("caravan.engine")}
            assert engine <= PUBLIC_ENGINE


def test_of_the_engine_only_its_border_knows_asyncio() -> None:
    knowing = {path.stem for path in (ROOT / "server/engine").glob("*.py") if "asyncio" in _imports(path)}
    assert knowing <= {"client", "child", "embedding_calls", "mailbox", "supervisor"}


def test_threads_are_waited_for_in_one_way() -> None:
    """Whoever is cancelled leaves a thread behind, unless `caravan.runtime.threads` runs it."""
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
