"""Options of images and sounds in requests, which all models of a server share."""

from pydantic import ByteSize, Field, PositiveInt

from caravan.config.option_types import Hosts, Place, Seconds
from caravan.config.prefix_cache_options import PrefixCacheOptions

_USUAL_BYTES = 20 << 20


class MediaOptions(PrefixCacheOptions):
    """The options before these, and the projector, where images may come from, and what one may take."""

    mmproj: Place | None = Field(
        default=None,
        description="Projector of the model of --model, a GGUF file that has it see or hear; none: it shall "
        "not. Default: one beside the model whose name begins with mmproj.",
    )
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
    max_image_pixels: PositiveInt = Field(
        default=50_000_000,
        description="Most pixels of an image in a request; they are counted before it is decoded.",
    )
    max_audio_seconds: Seconds = Field(default=600.0, description="Longest sound in a request.")
    media_seconds: Seconds = Field(
        default=120.0, description="How long the encoder may take for one image or sound."
    )
    media_memory: ByteSize = Field(
        default=ByteSize(4 << 30),
        gt=0,
        description="Most memory that a model's encoder takes besides its projector, such as 4GiB.",
    )
    media_cache_bytes: ByteSize = Field(
        default=ByteSize(256 << 20),
        gt=0,
        description="Memory for what each encoder has made of images and sounds, for requests that have them "
        "again.",
    )
