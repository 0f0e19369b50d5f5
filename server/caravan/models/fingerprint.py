"""All of a backend that decides on its texts, as one digest: file, library, template and options."""

import hashlib
import json
from pathlib import Path

from caravan.config.model_settings import ModelSettings
from caravan.llama import library
from caravan.llama.gguf_header import part_paths
from caravan.llama.model_file import add_file
from caravan.version import version

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
        add_file(digest, part)
    options = settings.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    told = [library.build(), version(), template, options]
    digest.update(json.dumps(told, sort_keys=True).encode())
    return digest.hexdigest()
