"""What a model's file tells of itself to who asks for a list: its size, its kind, all of its metadata."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from caravan.chat.families import recognise
from caravan.llama.gguf_header import GgufHeader, HeaderError, part_paths, read_header
from caravan.llama.gguf_reader import Value
from caravan.llama.projector import modalities_of
from caravan.media.values import Kind
from caravan.sizing.kv_bytes import is_causal

_KINDS: tuple[Kind, ...] = ("image", "audio")
_TEMPLATE = "tokenizer.chat_template"
_FILL = ("pre", "suf", "mid")
# llama.cpp's number of a pooling that scores pairs of texts.
_RANK = 4
# How most of a file's weights are stored, in the order of llama.cpp's `llama_ftype`; "" is nothing any more.
_FILE_TYPES = (
    *("F32", "F16", "Q4_0", "Q4_1", "", "", "", "Q8_0", "Q5_0", "Q5_1"),
    *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"),
    *("IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ3_M"),
    *("IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16", "", "", "", "TQ1_0", "TQ2_0"),
    *("MXFP4_MOE", "NVFP4", "Q1_0", "Q2_0"),
)


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A model's file. Texts are empty, and the size is 0, where nothing is known.

    `digest` tells files apart by their names, sizes and times: to read gigabytes for it would take minutes.
    `thinks` is by the words of the chat templates, which are not tried. `modalities` are those of its
    projector's file.
    """

    architecture: str = ""
    size_label: str = ""
    quantization: str = ""
    num_bytes: int = 0
    digest: str = ""
    template: str = ""
    can_generate: bool = True
    ranks: bool = False
    thinks: bool = False
    fills_gaps: bool = False
    modalities: frozenset[Kind] = frozenset()
    metadata: Mapping[str, Value] = field(default_factory=dict)


class FactsReader:
    """Reads a model's file, and again only when it is another. `template` is the operator's own, if any,
    `header` what has just been read, and `projector` a file beside it.
    """

    def __init__(
        self,
        path: Path,
        template: Path | None = None,
        header: GgufHeader | None = None,
        projector: Path | None = None,
    ) -> None:
        self._path = path
        self._template = template
        self._projector = projector
        self._known = {} if header is None else {_digest(path): header}
        self._found = FileFacts()

    def __call__(self) -> FileFacts:
        """Return the facts; of a file that cannot be read, nothing. Takes a moment."""
        try:
            digest = _digest(self._path)
            if digest != self._found.digest:
                header = self._known.get(digest) or read_header(self._path)
                self._known.clear()
                facts = _facts(header, digest, self._template)
                self._found = replace(facts, modalities=_modalities(self._projector))
        except (HeaderError, OSError, UnicodeDecodeError):
            return FileFacts()
        return self._found


def file_type(header: GgufHeader) -> str:
    """Name how most weights of a file are stored, by its own word; empty where that is not known."""
    number = header.metadata.get("general.file_type")
    if not isinstance(number, int) or not 0 <= number < len(_FILE_TYPES):
        return ""
    return _FILE_TYPES[number]


def _facts(header: GgufHeader, digest: str, template: Path | None) -> FileFacts:
    own = header.text(_TEMPLATE) if template is None else template.read_text(encoding="utf-8")
    templates = own + (header.text(f"{_TEMPLATE}.tool_use") if template is None else "")
    return FileFacts(
        architecture=header.architecture,
        size_label=header.text("general.size_label"),
        quantization=file_type(header),
        num_bytes=header.file_size,
        digest=digest,
        template=own,
        can_generate=is_causal(header),
        ranks=header.count("pooling_type") == _RANK,
        thinks=recognise(templates).reasoning is not None,
        fills_gaps=all(f"tokenizer.ggml.fim_{part}_token_id" in header.metadata for part in _FILL),
        metadata={key: value for key, value in header.metadata.items() if not key.startswith(_TEMPLATE)},
    )


def _modalities(projector: Path | None) -> frozenset[Kind]:
    """What a projector reads; nothing where it cannot be read itself."""
    if projector is None:
        return frozenset()
    try:
        found = modalities_of(os.fspath(projector))
    except (HeaderError, OSError):
        return frozenset()
    return frozenset(kind for kind in _KINDS if kind in found)


def _digest(path: Path) -> str:
    stats = [(part.name, part.stat()) for part in part_paths(path)]
    told = [(name, found.st_size, found.st_mtime_ns) for name, found in stats]
    return hashlib.sha256(repr(told).encode()).hexdigest()
