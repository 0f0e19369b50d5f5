"""Options of the cache of prefixes on the disk, which all models of a server share."""

from typing import Self

from pydantic import ByteSize, Field, model_validator

from caravan.config.engine_config import DiskCacheConfig
from caravan.config.model_settings import ModelOptions
from caravan.config.option_types import FolderPath

_USUAL_BYTES = 4 << 30
_OF_FOLDER = ("prefix_cache_bytes", "prefix_cache_private")


class PrefixCacheOptions(ModelOptions):
    """The options of models, and where what they have computed is kept for after a restart."""

    prefix_cache_dir: FolderPath | None = Field(
        default=None,
        description="Folder in which beginnings of prompts and conversations are kept, as the KV cache has "
        "them, for after a restart. Only its owner can read them. Default: they are not kept.",
    )
    prefix_cache_bytes: ByteSize = Field(
        default=ByteSize(_USUAL_BYTES),
        gt=0,
        description="Most bytes in --prefix-cache-dir, such as 20GiB. What was used least recently goes "
        "first.",
    )
    prefix_cache_private: bool = Field(
        default=False,
        description="Keep there also what not all requests may share: texts of keys, and of a `cache_salt`.",
    )

    @model_validator(mode="after")
    def _has_folder(self) -> Self:
        """What is said of the folder says nothing where there is none."""
        said = [name for name in _OF_FOLDER if name in self.model_fields_set]
        if said and self.prefix_cache_dir is None:
            raise ValueError(f"{said[0]} is for prefix_cache_dir, and there is no such folder")
        return self

    @property
    def disk_cache(self) -> DiskCacheConfig | None:
        """What engines are told of it; None where nothing is kept."""
        if self.prefix_cache_dir is None:
            return None
        return DiskCacheConfig(
            folder=str(self.prefix_cache_dir.absolute()),
            max_bytes=int(self.prefix_cache_bytes),
            keeps_private=self.prefix_cache_private,
        )
