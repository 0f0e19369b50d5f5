"""Where downloaded models lie, and by which names they are found there.

A model of a hub is kept as `<data_dir>/models/<org>/<repo>/<file>.gguf`. It is called `org/repo:quant`, the
quantization being the end of the file's name, such as `Q4_K_M`; `org/repo` alone where it has only one file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caravan.llama.gguf_header import model_stem, part_paths

_QUANTIZATION = re.compile(r"(?:^|[-._])((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|BF16|F16|F32|MXFP4\w*|NVFP4\w*))$", re.I)


@dataclass(frozen=True, order=True)
class StoredModel:
    """A downloaded model: its full name, and its file, the first where it is split."""

    name: str
    path: Path


def model_folder(data_dir: Path, org: str, repo: str) -> Path:
    """Where the files of a repository belong."""
    return data_dir / "models" / org / repo


def quantization(path: Path) -> str:
    """How a file's weights are stored, by its name; the whole name where it does not say."""
    stem = model_stem(path)
    found = _QUANTIZATION.search(stem)
    return found[1] if found else stem


def stored_models(data_dir: Path) -> list[StoredModel]:
    """All downloaded models, by name."""
    return sorted(
        StoredModel(f"{path.parent.parent.name}/{path.parent.name}:{quantization(path)}", path)
        for path in first_parts((data_dir / "models").glob("*/*/*.gguf"))
    )


def find_stored(data_dir: Path, name: str) -> StoredModel | None:
    """The downloaded model of that name, in whatever case; without a quantization if only one is there."""
    wanted = name.lower()
    found = [
        model
        for model in stored_models(data_dir)
        if wanted in (model.name.lower(), model.name.lower().rpartition(":")[0])
    ]
    return found[0] if len(found) == 1 else None


def first_parts(paths: Iterator[Path]) -> Iterator[Path]:
    """One path for each model among `paths`: those of further parts are left out."""
    return (path for path in paths if part_paths(path)[0] == path)
