"""Projectors by their names: which files are some, and which is for a model."""

import re
from collections.abc import Sequence
from pathlib import Path

_PREFIX = "mmproj"
# Of files for the same model. Projectors are small and lose much by few bits, so F16 comes before Q8_0.
_PREFERRED = ("f16", "bf16", "q8_0", "f32")
_WORDS = re.compile(r"[^a-z0-9]+")


def is_projector(path: Path) -> bool:
    """Whether a file is one by its name."""
    return path.name.lower().startswith(_PREFIX) and path.suffix.lower() == ".gguf"


def best(found: Sequence[Path], model: str) -> Path:
    """Of several projectors, that with the most words of a model's name, and then the preferred numbers."""
    wanted = set(_words(model))

    def rank(path: Path) -> tuple[int, int, str]:
        words = _words(path.stem)
        return -len(wanted.intersection(words)), _numbers(path), path.name

    return min(found, key=rank)


def _words(name: str) -> list[str]:
    """The words of a file's name but those that say how its numbers are stored."""
    return [
        word for word in _WORDS.split(name.lower()) if word not in ("gguf", _PREFIX, "f16", "bf16", "f32")
    ]


def _numbers(path: Path) -> int:
    """How soon its numbers come among the preferred ones."""
    found = re.search(r"(bf16|f16|q8_0|f32)$", path.stem.lower())
    return _PREFERRED.index(found[1]) if found else len(_PREFERRED)
