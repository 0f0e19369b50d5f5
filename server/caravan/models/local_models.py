"""Models on this machine: where pulled ones are kept, and which file a person means by a name.

A model of a hub is kept as `<data_dir>/models/<org>/<repo>/<file>.gguf`. It is called `org/repo:quant`, the
quantization being the end of the file's name, such as `Q4_K_M`; `org/repo` alone where it has only one file.
"""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from caravan.config.paths import special_kind
from caravan.llama.gguf_header import model_stem, part_paths
from caravan.models.projector_names import is_projector

_QUANTIZATION = re.compile(r"(?:^|[-._])((?:UD-)?(?:I?Q\d\w*|TQ\d\w*|BF16|F16|F32|MXFP4\w*|NVFP4\w*))$", re.I)
_CONVERT = "Caravan serves GGUF, which llama.cpp's convert_hf_to_gguf.py makes of it"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?::[\w.-]+)?")
_MOST_SHOWN = 8
# As deep as caches of downloads go.
_PLACES = ("*", "*/*", "*/*/*")
# What other files begin with.
_BEGINNINGS = (
    (b"version https://git-lfs", "this is a pointer of Git LFS; `git lfs pull` fetches the file itself"),
    (b"<", "this is a web page; something else was downloaded than the model"),
    (b"PK\x03\x04", f"this is a checkpoint of PyTorch or an archive; {_CONVERT}"),
    (b"\x80", f"this is a checkpoint of PyTorch; {_CONVERT}"),
    (b"\x1f\x8b", "this is packed with gzip; unpack it first"),
    (b"ggjt", "this is of an older format than GGUF"),
    (b"tjgg", "this is of an older format than GGUF"),
    (b"lmgg", "this is of an older format than GGUF"),
)


class ModelPathError(Exception):
    """There is no model by that name, or none that can be served; the message is one line."""


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
        if not is_projector(path)
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


def find_model(named: Path, data_dir: Path) -> StoredModel:
    """The model's file, and what it is called unless somebody names it. Raises ModelPathError."""
    path = named.expanduser()
    if path.is_dir():
        return _checked(_only_one(named, path), named)
    if path.exists():
        return _checked(path, named)
    stored = find_stored(data_dir, os.fspath(named))
    if stored is None:
        raise ModelPathError(_not_there(named, path, data_dir))
    return stored


def _checked(path: Path, named: Path) -> StoredModel:
    parts = part_paths(path)
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise ModelPathError(f"{named}: {len(missing)} of {len(parts)} parts are missing, {missing[0]} first")
    try:
        fault = _fault(parts[0])
    except OSError as error:
        fault = error.strerror or str(error)
    if fault is not None:
        raise ModelPathError(f"{path if path != named.expanduser() else named}: {fault}")
    return StoredModel(model_stem(path), parts[0])


def _fault(path: Path) -> str | None:
    """Why a file is no GGUF, by its first bytes; None if it is one."""
    if (kind := special_kind(path)) is not None:
        return f"this is no regular file, but {kind}"
    with path.open("rb") as file:
        begin = file.read(64)
    if begin.startswith(b"GGUF"):
        return None
    if not begin:
        return "this file is empty"
    # A table's length, and the table.
    if begin[8:9] == b"{" and begin[4:8] == bytes(4):
        return f"this is a file of safetensors; {_CONVERT}"
    return next((told for start, told in _BEGINNINGS if begin.startswith(start)), "this is not a GGUF file")


def _only_one(named: Path, folder: Path) -> Path:
    """The only model of a folder; what goes with models, and is none, aside."""
    found = sorted(first_parts(path for place in _PLACES for path in folder.glob(f"{place}.gguf")))
    models = [path for path in found if "mmproj" not in path.name.lower()]
    if len(models) == 1:
        return models[0]
    if models:
        shown = ", ".join(path.relative_to(folder).as_posix() for path in models[:_MOST_SHOWN])
        more = f" and {len(models) - _MOST_SHOWN} more" if len(models) > _MOST_SHOWN else ""
        raise ModelPathError(
            f"{named} is a folder with {len(models)} models: {shown}{more}. Name one of them with --model, "
            f"or serve all with --models-dir {named}"
        )
    if any(folder.glob("*.safetensors")):
        raise ModelPathError(f"{named} holds a model as safetensors; {_CONVERT}")
    raise ModelPathError(f"{named} is a folder without GGUF files")


def _not_there(named: Path, path: Path, data_dir: Path) -> str:
    if named.parts[:1] in (("http:",), ("https:",)):
        return f"{named} is an address; `caravan pull` downloads models, and --model names files"
    told = f"no such file: {named}"
    name = named.as_posix()
    pulled = [model.name for model in stored_models(data_dir)]
    variants = [other for other in pulled if other.lower().rpartition(":")[0] == name.lower()]
    if variants:
        return f"{told}; pulled are {', '.join(variants)}: name one of them"
    beside = [other.name for other in path.parent.glob("*.gguf")] if path.parent.is_dir() else []
    near = _near(path.name, beside)
    if near is not None:
        return f"{told}; did you mean {named.with_name(near)}?"
    near = _near(name, pulled)
    if near is not None:
        return f"{told}; did you mean {near}?"
    if _REPOSITORY.fullmatch(name) and named.suffix != ".gguf" and not path.parent.exists():
        return f"{told}, nor a pulled model; `caravan pull {name}` downloads one"
    return told if path.parent.exists() else f"{told}; there is no folder {named.parent}"


def _near(name: str, others: list[str]) -> str | None:
    known = {other.lower(): other for other in others}
    known |= {other.lower().removesuffix(".gguf"): other for other in others}
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)
    return known[found[0]] if found else None
