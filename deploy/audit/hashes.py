"""Writes the hashes of all pins anew, of every file of each: `python -m deploy.audit.hashes`.

Look at what it changes: a new hash under an old version is a file that was exchanged or added since.
"""

import sys
from pathlib import Path

from deploy.audit.outcome import CONSTRAINTS, HASHES, ROOT, tool

# The audit's own tools. Their versions are found anew where `--upgrade` is said.
_TOOLS = ROOT / "deploy" / "audit"
_FORM = (
    "--universal",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--python-version=3.11",
    "--quiet",
)


def write(source: Path, target: Path, *words: str) -> None:
    """Pin and hash what `source` names. Raises RuntimeError."""
    paths = (str(path.relative_to(ROOT)) for path in (source, target))
    ended = tool("uv", "pip", "compile", next(paths), "--output-file", next(paths), *_FORM, *words)
    if ended.status != 0:
        raise RuntimeError(ended.errors)


def main() -> int:
    """Write both files."""
    write(CONSTRAINTS, HASHES, "--no-deps")
    write(_TOOLS / "requirements.in", _TOOLS / "requirements.txt", *sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
