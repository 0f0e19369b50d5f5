"""Images and sounds in messages, as OpenAI's chat completions have them."""

from typing import Annotated, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_json_type

Detail = Literal["auto", "low", "high", "original"]
DETAIL = (
    "How closely the model looks: with `low` at a small picture of it, which has few tokens; with `auto` "
    "(the default), `high` and `original` at as much of it as its projector takes."
)
IMAGE_URL = (
    "A data URL in Base64, such as `data:image/png;base64,iVBOR...`. An address that begins with `https://` "
    "or `http://` only where the operator has listed its host."
)


class ImageUrl(Schema):
    """Where an image is."""

    url: str = Field(description=IMAGE_URL)
    detail: Detail | None = Field(default=None, description=DETAIL)


class ImagePart(Schema):
    """An image, for models with a projector."""

    type: Literal["image_url"]
    image_url: Annotated[
        str | ImageUrl, by_json_type("image_kind", "must be an object with a 'url', or the URL itself")
    ] = Field(description="The image: an object with its `url`, or the URL itself.")


class InputAudio(Schema):
    """A sound."""

    data: str = Field(description="The file in Base64.")
    format: Literal["wav", "mp3"] = Field(description="What kind of file it is.")


class AudioPart(Schema):
    """A sound, for models whose projector hears."""

    type: Literal["input_audio"]
    input_audio: InputAudio = Field(description="The sound.")
