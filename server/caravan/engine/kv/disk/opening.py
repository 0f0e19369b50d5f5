"""Opens the cache on the disk that an engine is told of, if it can have one."""

import logging
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.engine.interfaces import RangeStates
from caravan.engine.kv.disk.chunks import CHUNK_SIZE, WHOLE
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.kv.disk.fingerprint import fingerprint

log = logging.getLogger(__name__)


def open_disk_cache(config: EngineConfig, ranges: RangeStates | None) -> DiskCache | None:
    """Open it, or log why there is none. `ranges` are what cells can be filled by."""
    if (told := config.disk_cache) is None:
        return None
    name = Path(config.model_path).name
    if ranges is None:
        log.warning("%s: its prefixes are not kept on the disk: they cannot be copied in pieces", name)
        return None
    try:
        return DiskCache(
            Path(told.folder),
            fingerprint(config),
            told.max_bytes,
            keeps_private=told.keeps_private,
            chunk_size=WHOLE if ranges.is_whole else CHUNK_SIZE,
        )
    except OSError as error:
        log.warning("%s: its prefixes are not kept on the disk: %s", name, error)
        return None
