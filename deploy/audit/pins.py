"""Whether every package is pinned, and every pin has hashes that what is served under it matches."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.audit.outcome import CONSTRAINTS, HASHES, Outcome, Verdict, pip, problems

_PIN = re.compile(r"([\w.-]+)==([\w.!+-]+)(?: *; *([^\\]+?))?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
# pip's own words for a file that is not the one that was pinned.
_MISMATCH = "DO NOT MATCH THE HASHES"


def pins(path: Path) -> dict[str, list[str]]:
    """The hashes of each pin of a file, `name==version` with its marker, if it has one."""
    found: dict[str, list[str]] = {}
    for line in _logical_lines(path):
        requirement = line.partition("--hash=")[0].strip()
        pin = _PIN.fullmatch(requirement)
        if pin is None:
            raise ValueError(f"{path.name}: this is no pin: {requirement}")
        name = re.sub(r"[-_.]+", "-", pin[1]).lower()
        marker = f" ; {pin[3]}" if pin[3] else ""
        found[f"{name}=={pin[2]}{marker}"] = _HASH.findall(line)
    return found


def _logical_lines(path: Path) -> Iterator[str]:
    """Lines that end with a backslash go on; comments are left out."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    yield from (line for line in lines if line)


def agreement(constraints: Path = CONSTRAINTS, hashes: Path = HASHES) -> Outcome:
    """Whether both files have the same pins."""
    wanted, hashed = pins(constraints), pins(hashes)
    found = [f"{pin} has no hash" for pin in wanted if not hashed.get(pin)]
    found += [f"{pin} is hashed and not pinned" for pin in hashed if pin not in wanted]
    if found:
        found.append("python -m deploy.audit.hashes writes them anew, once `make audit` has its tools")
    return problems("pins", found, f"{len(wanted)} packages, each with its hashes")


def downloads(hashes: Path = HASHES) -> Outcome:
    """Whether the files that are served under the pins are those that were hashed."""
    with tempfile.TemporaryDirectory() as folder:
        ended = pip(
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--dest",
            folder,
            "--requirement",
            str(hashes),
        )
        num_files = len(list(Path(folder).iterdir()))
    if ended.status == 0:
        return Outcome("hashes", Verdict.PASSED, f"{num_files} files are those that were pinned")
    if _MISMATCH in ended.errors:
        return Outcome("hashes", Verdict.FAILED, "a file is not the one that was pinned", ended.errors)
    return Outcome("hashes", Verdict.UNCHECKED, f"pip could not fetch them: {ended.last_words}")
