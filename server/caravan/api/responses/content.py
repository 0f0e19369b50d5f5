"""What messages and results of the Responses API hold: their text, and the parts of a chat's message."""

from collections.abc import Iterator

from caravan_schemas.media import AudioPart, ImagePart, ImageUrl
from caravan_schemas.messages import TextPart, UserContent, UserPart
from caravan_schemas.responses_items import CallOutput, InputImage, MessageContent, PastRefusal

from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError


def text_of(content: MessageContent | CallOutput) -> str:
    """The text of a message or a result; parts follow each other as they are."""
    if isinstance(content, str):
        return content
    return "".join(map(_text, content))


def has_media(content: MessageContent | CallOutput) -> bool:
    """Whether there is more than text."""
    return num_media(content) > 0


def num_media(content: MessageContent | CallOutput) -> int:
    """Count the images and sounds."""
    return (
        0 if isinstance(content, str) else sum(isinstance(part, InputImage | AudioPart) for part in content)
    )


def content_of(content: MessageContent | CallOutput, path: str) -> UserContent:
    """What a chat's message has of a message or a result: a text, or as many parts where there is more.

    `path` is the content's own. Raises InvalidRequestError over an image that is none.
    """
    if isinstance(content, str) or not has_media(content):
        return text_of(content)
    return list(_parts(content, path))


def refuse_media(content: MessageContent, role: str, path: str) -> None:
    """Refuse images and sounds in what is not the user's."""
    if isinstance(content, str):
        return
    for index, part in enumerate(content):
        if isinstance(part, InputImage | AudioPart):
            complaint = f"has the type '{part.type}', which the role '{role}' cannot have"
            raise InvalidValueError(f"{path}[{index}]", complaint)


def _text(part: object) -> str:
    if isinstance(part, InputImage | AudioPart):
        return ""
    return part.refusal if isinstance(part, PastRefusal) else str(getattr(part, "text", ""))


def _parts(content: MessageContent | CallOutput, path: str) -> Iterator[UserPart]:
    for index, part in enumerate(content):
        if isinstance(part, AudioPart):
            yield part
        elif isinstance(part, InputImage):
            yield _image(part, f"{path}[{index}]")
        else:
            yield TextPart(type="text", text=_text(part))


def _image(part: InputImage, path: str) -> ImagePart:
    if part.file_id is not None:
        message = f"'{path}.file_id' is not supported: send the image itself, as a data URL in 'image_url'."
        raise UnsupportedParameterError(message, param=f"{path}.file_id")
    if part.image_url is None:
        message = f"'{path}.image_url' is required."
        raise InvalidRequestError(message, param=f"{path}.image_url", code="missing_required_parameter")
    return ImagePart(type="image_url", image_url=ImageUrl(url=part.image_url, detail=part.detail))
