"""Which projector a model has, by its options or by what lies beside it, and the encoder that runs it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.config.media_options import MediaOptions
from caravan.llama import library
from caravan.llama.gguf_header import model_stem
from caravan.llama.projector import check_projector
from caravan.media.client import EncoderClient, EncoderStartError
from caravan.media.encoder_process import EncoderConfig
from caravan.models.projector_names import best, is_projector
from caravan.runtime.machine import usable_cores

log = logging.getLogger(__name__)

# What `--mmproj` is for a model whose projector is not wanted.
NONE = Path("none")


@dataclass(frozen=True)
class ProjectorFile:
    """A projector, and whether somebody has named it: what is only found may turn out not to fit."""

    path: Path
    is_named: bool


def projector_of(model: Path, named: Path | None) -> ProjectorFile | None:
    """The projector of a model's file: the one that is named, else the one beside it whose name is nearest.

    Raises ProjectorError over one that is named and none.
    """
    if named == NONE:
        return None
    if named is not None:
        check_projector(os.fspath(named))
        return ProjectorFile(named, is_named=True)
    try:
        found = [path for path in model.parent.iterdir() if is_projector(path)]
    except OSError:
        return None
    return ProjectorFile(best(found, model_stem(model)), is_named=False) if found else None


class EncoderStarter:
    """Starts the encoder of a model, whenever it is loaded."""

    def __init__(self, file: ProjectorFile, config: EngineConfig, options: MediaOptions) -> None:
        self._file = file
        self._options = options
        self._config = config

    def without_gpu(self) -> "EncoderStarter":
        """The same on processors, for who has no GPU to himself."""
        config = msgspec.structs.replace(self._config, num_gpu_layers=0)
        return EncoderStarter(self._file, config, self._options)

    async def __call__(self) -> EncoderClient | None:
        """The encoder; None where a projector was only found, and does not fit. Raises EncoderStartError."""
        client = EncoderClient(encoder_config(self._file.path, self._config, self._options))
        try:
            await client.start()
        except EncoderStartError as error:
            if self._file.is_named:
                raise
            log.warning("%s; the model takes text alone (--mmproj names another one)", error)
            return None
        return client


def encoder_config(path: Path, config: EngineConfig, options: MediaOptions) -> EncoderConfig:
    """What an encoder is told: half of the engine's cores, since the engine goes on meanwhile."""
    cores = config.num_threads or usable_cores()
    return EncoderConfig(
        projector_path=os.fspath(path),
        model_path=config.model_path,
        num_threads=max(1, cores // 2),
        use_gpu=config.num_gpu_layers != 0 and library.has_gpu(),
        max_pixels=options.max_image_pixels,
        max_sound_seconds=options.max_audio_seconds,
        memory_bytes=int(options.media_memory),
        cache_bytes=int(options.media_cache_bytes),
        seconds=options.media_seconds,
    )
