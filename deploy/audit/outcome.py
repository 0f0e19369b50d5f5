"""What a check of the audit has found, and programs that checks run."""

import enum
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-audit" / "bin"
CONSTRAINTS = ROOT / "constraints.txt"
HASHES = ROOT / "constraints-hashes.txt"
_PATIENCE = 1800


class Verdict(enum.Enum):
    """How a check has ended. UNCHECKED is no pass: nothing is known."""

    PASSED = "ok"
    FAILED = "FAILED"
    UNCHECKED = "NOT CHECKED"


@dataclass(frozen=True)
class Outcome:
    """The result of one check: a line, and what is to be read besides."""

    subject: str
    verdict: Verdict
    summary: str
    details: str = ""


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    status: int
    output: str
    errors: str

    @property
    def last_words(self) -> str:
        """The last line that it has printed, errors before output."""
        lines = [line for text in (self.output, self.errors) for line in text.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "it said nothing"


def run(*command: str) -> Ended:
    """Run a program in the root of the checkout, without input."""
    ended = subprocess.run(  # noqa: S603 (our own commands, by their arguments)
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def tool(name: str, *words: str) -> Ended:
    """Run one of the audit's own tools."""
    return run(str(TOOLS / name), *words)


def pip(*words: str) -> Ended:
    """Run the pip of the environment that this runs in."""
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words)


def problems(subject: str, found: Sequence[str], passed: str) -> Outcome:
    """FAILED with what was found, or PASSED."""
    if not found:
        return Outcome(subject, Verdict.PASSED, passed)
    counted = "one problem" if len(found) == 1 else f"{len(found)} problems"
    return Outcome(subject, Verdict.FAILED, counted, "\n".join(found))
