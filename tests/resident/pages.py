"""What the pages show in blocks of code, and which of it no test can run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"console", "json", "python", "sh", "text", "toml"}
ADDRESS = "http://127.0.0.1:8000"

# How commands begin that are not run, and why.
NOT_RUN = {
    "make serve": "does not end",
    "make ray-serve": "does not end",
    "make help": "a list for readers; what it lists is looked up in the Makefile",
    "make test": "runs this test",
    "make bench": "takes minutes",
    "make lint": "the checks before the tests",
    "make types": "the checks before the tests",
    "make format": "changes the tree",
    "pip install": "compiles llama.cpp",
    "docker": "needs Docker",
    "caravan pull": "fetches a model",
    "caravan serve": "does not end",
    "caravan ray-serve": "does not end; tests/ray run what it does",
    "caravan rpc-worker": "does not end",
    "caravan chat": "needs a terminal, and a model that was pulled",
    "caravan tune": "needs a file of the page's own; test_tune_page.py runs it",
    "caravan batch": "starts a server of its own; tests/cli/test_batch.py runs it",
    "caravan check-config": "needs a file of the reader's",
    "caravan healthcheck": "needs a server in the data folder",
    "curl http://127.0.0.1:8000/v1/audio/transcriptions": "needs a model that hears",
    "curl -X POST http://127.0.0.1:8000/admin/models/small": "names a model of the reader's",
    "curl -X DELETE http://127.0.0.1:8000/admin/models/small": "names a model of the reader's",
}

_LABEL = re.compile(r"(?:(?:ok|bad) )?([A-Za-z. ]+):")
_LOOSE = re.compile(
    r"(?P<rest>\.\.\.)|(?P<id>req_\w+)|(?P<path>(?:/[\w.-]+)+)|(?P<number>[0-9][0-9.-]*[0-9]|[0-9])"
)
_ANY = {"rest": ".*", "id": r"req_\w+", "path": r"\S+", "number": r"[0-9][0-9.-]*"}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}: {self.text.splitlines()[0][:60]}"

    def commands(self) -> list[str]:
        """The commands of a `sh` block: comments left out, continued lines and open quotes joined."""
        lines: list[str] = []
        for line in self.text.splitlines():
            if lines and (lines[-1].endswith("\\") or lines[-1].count("'") % 2):
                lines[-1] += f"\n{line}"
            else:
                lines.append(line)
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def session(self) -> list[tuple[str, list[str]]]:
        """The commands of a `console` block, each with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        is_continued = False
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif is_continued:
                found[-1] = (f"{found[-1][0]}\n{line}", [])
            else:
                found[-1][1].append(line)
            is_continued = (line.startswith("$ ") or is_continued) and line.endswith("\\")
        return found


def blocks(*languages: str) -> list[Block]:
    """Those of all pages, or of some languages."""
    found = [
        Block(page, language, text)
        for page in PAGES
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if not languages or block.language in languages]


def why_not(command: str) -> str | None:
    """How the entry of NOT_RUN begins that holds for a command; None where it is to be run."""
    return next((start for start in NOT_RUN if command.startswith(start)), None)


def looks_like(shown: str, printed: str, *, by_label: bool = False) -> bool:
    """Whether a line that was printed is what a page shows.

    Numbers, spaces, paths, names of requests and what stands for `...` may differ; `by_label`, all that comes
    after a colon, too.
    """
    shown, printed = (re.sub(r"\s+", " ", line.strip()) for line in (shown, printed))
    if by_label and (label := _LABEL.match(shown)):
        return (other := _LABEL.match(printed)) is not None and other[1] == label[1]
    pattern, end = "", 0
    for part in _LOOSE.finditer(shown):
        assert part.lastgroup is not None
        pattern += re.escape(shown[end : part.start()]) + _ANY[part.lastgroup]
        end = part.end()
    return re.fullmatch(pattern + re.escape(shown[end:]), printed) is not None
