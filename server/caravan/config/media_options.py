"""Options of images and sounds in requests, which all models of a server share."""

from pydantic import ByteSize, Field

from caravan.config.option_types import Hosts
from caravan.config.prefix_cache_options import PrefixCacheOptions

_USUAL_BYTES = 20 << 20


class MediaOptions(PrefixCacheOptions):
    """The options before these, and where images may come from."""

    image_hosts: Hosts = Field(
        default=[],
        description="Hosts that images are fetched from where a request names an image by its address, such "
        "as images.example.org or *.example.org; * for any. Never private addresses. Default: none.",
    )
    max_image_bytes: ByteSize = Field(
        default=ByteSize(_USUAL_BYTES),
        gt=0,
        description="Largest file of an image or a sound in a request, such as 20MiB.",
    )
