"""All of a backend that decides on its texts, as one digest: file, library, template and options."""

import hashlib
import json
from pathlib import Path

from server.llama import library
from server.llama.gguf_header import part_paths
from server.model_settings import ModelSettings
from server.version import version

_HEAD = 1 << 20
_NUM_SAMPLES = 64
_SAMPLE = 4096

# What a model is called, when it is loaded, how long requests wait and where idle sequences are kept: none of
# it changes a text. The template counts by its words, wherever they are from.
_WITHOUT_EFFECT = frozenset(
    {
        "path",
        "id",
        "aliases",
        "preload",
        "pinned",
        "chat_template",
        "kv_parked",
        "max_waiting",
        "queue_seconds",
        "sampling_threads",
    }
)


def fingerprint(path: Path, template: str, settings: ModelSettings) -> str:
    """Equal for equal configurations, wherever the file lies; reads a few hundred pages of it."""
    digest = hashlib.sha256()
    for part in part_paths(path):
        _add_file(digest, part)
    options = settings.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    told = [library.build(), version(), template, options]
    digest.update(json.dumps(told, sort_keys=True).encode())
    return digest.hexdigest()


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    """Size, beginning and a sample of the rest, since to read all of the weights takes as long as to load
    them. Of two trainings of one network no page of weights is alike.
    """
    size = path.stat().st_size
    digest.update(f"{size},".encode())
    with path.open("rb") as file:
        digest.update(file.read(_HEAD))
        for number in range(_NUM_SAMPLES):
            file.seek(max(0, size - _SAMPLE) * (number + 1) // _NUM_SAMPLES)
            digest.update(file.read(_SAMPLE))
