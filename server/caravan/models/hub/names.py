"""Which model of a repository is meant by `org/repository[:quantization]`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from caravan.llama.gguf_header import model_stem
from caravan.models.local_models import quantization
from caravan.models.projector_names import best, is_projector

# What is taken where nobody says: a good size for its quality first, then what comes near it.
PREFERRED = (
    *("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_0", "Q4_1", "MXFP4"),
    *("Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "Q3_K_S"),
    *("BF16", "F16", "F32", "Q2_K"),
)
_REFERENCE = re.compile(r"(?:hf\.co/|https://huggingface\.co/)?([\w-][\w.-]*/[\w-][\w.-]*)(?::([^:]+))?")
# Files beside a model that are none: projectors of images, statistics for quantizing.
_COMPANIONS = ("mmproj", "imatrix")


@dataclass(frozen=True)
class Reference:
    """A repository, and perhaps which of its models: a quantization or a file's name."""

    repository: str
    choice: str | None = None


def parse_reference(text: str) -> Reference:
    """Read `org/repository[:quantization or file]`. Raises ValueError."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is not org/repository or org/repository:quantization")
    return Reference(found[1], found[2])


def choose(files: Iterable[str], choice: str | None) -> list[str]:
    """The files of one model: the one asked for, else the first of PREFERRED there is, else the first.

    Raises LookupError with a line that says what there is.
    """
    known = _models(files)
    if not known:
        raise LookupError("there are no GGUF files")
    if choice is None:
        return min(known, key=lambda parts: (_rank(parts[0]), parts[0]))
    wanted = choice.lower()
    for parts in known:
        path = Path(parts[0])
        if wanted in (
            quantization(path).lower(),
            model_stem(path).lower(),
            path.name.lower(),
            parts[0].lower(),
        ):
            return parts
    there = ", ".join(sorted({quantization(Path(parts[0])) for parts in known}))
    raise LookupError(f"there is no '{choice}', but {there}")


def projector_of(files: Iterable[str], model: str) -> str | None:
    """The file of a repository by which its `model` sees or hears; None where there is none."""
    found = {
        PurePosixPath(file).name: file
        for file in sorted(files, reverse=True)
        if is_projector(Path(PurePosixPath(file).name))
    }
    if not found:
        return None
    return found[best([Path(name) for name in found], model_stem(Path(model))).name]


def _models(files: Iterable[str]) -> list[list[str]]:
    """The GGUF models among a repository's files, each as its parts in order."""
    found: dict[str, list[str]] = {}
    for file in sorted(files):
        path = PurePosixPath(file)
        if path.suffix.lower() == ".gguf" and not any(word in path.name.lower() for word in _COMPANIONS):
            found.setdefault(str(path.with_name(model_stem(Path(path)))), []).append(file)
    return list(found.values())


def _rank(file: str) -> int:
    name = quantization(Path(file)).upper()
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)
