"""The clients that talk to a live server, each with how to run it and where its version stands."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Made by `make test-clients`. Clients want different releases of the package `openai`.
ENVIRONMENTS = ROOT / ".venv-clients"
# The model that ships.
MODEL = "caravan-resident"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A client. `environment` is the folder that it is installed in, `package` what names its version."""

    name: str
    environment: str
    package: str
    module: str

    def command(self, url: str, model: str) -> list[str]:
        """What runs its conversation."""
        if self.environment == "node":
            return ["node", str(self.folder / f"{self.module}.mjs"), url, model]
        return [str(self.python), "-m", f"tests.clients.scripts.{self.module}", url, model]

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return ENVIRONMENTS / self.environment

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        """Whether it can be run here; Node is not on every machine."""
        return (self.folder / ".installed").exists()

    def version(self) -> str:
        """The installed version."""
        if self.environment == "node":
            package = json.loads((self.folder / "node_modules" / self.package / "package.json").read_text())
            return str(package["version"])
        question = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return subprocess.run(
            [self.python, "-c", question], capture_output=True, text=True, check=True
        ).stdout.strip()


def _program(name: str, environment: str, package: str, module: str) -> Program:
    return Program(name=name, environment=environment, package=package, module=module)


PROGRAMS = (
    _program("openai (Python)", "openai-3", "openai", "openai_python"),
    _program("openai (Python), older", "openai-2", "openai", "openai_python"),
    _program("openai (Node)", "node", "openai", "conversation"),
    _program("LangChain, langchain-openai", "openai-3", "langchain-openai", "langchain"),
    _program("LlamaIndex, llms-openai-like", "openai-2", "llama-index-llms-openai-like", "llama_index"),
    _program("LiteLLM", "openai-2", "litellm", "litellm"),
    _program("instructor", "openai-2", "instructor", "instructor"),
    _program("pydantic-ai", "openai-3", "pydantic-ai-slim", "pydantic_ai"),
    _program("anthropic (Python)", "anthropic", "anthropic", "anthropic_python"),
    _program("llm, the command", "openai-3", "llm", "llm_command"),
    _program("ollama (Python)", "ollama", "ollama", "ollama_python"),
    _program("ollama (Node)", "node", "ollama", "ollama"),
)


def steps(program: Program, url: str, model: str) -> tuple[list[tuple[str, str]], str]:
    """The outcome and the name of each step of a conversation, and all that was printed."""
    run = subprocess.run(
        program.command(url, model),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
        check=False,
    )
    printed = run.stdout + run.stderr
    lines = (line.partition(" ") for line in run.stdout.splitlines())
    found = [(word, rest) for word, _, rest in lines if word in ("ok", "failed", "skipped")]
    if run.returncode and not any(word == "failed" for word, _ in found):
        found.append(("failed", "to run"))
    return found, printed
