"""What a person names as a model: a file, a folder with one in it, or a pulled one; else, what to do."""

import difflib
import os
import re
from pathlib import Path

from caravan.llama.gguf_header import model_stem, part_paths
from caravan.models.local_store import StoredModel, find_stored, first_parts, stored_models

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
    if not path.is_file():
        return "this is no regular file"
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
