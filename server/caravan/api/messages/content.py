"""Blocks that a model reads, as the content of a chat's message: paragraphs of text, and images between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from caravan_schemas.anthropic_blocks import (
    DocumentBlock,
    ImageBlock,
    PlainSource,
    SearchResultBlock,
    TextBlock,
    TextContent,
    UrlSource,
)
from caravan_schemas.media import ImagePart, ImageUrl
from caravan_schemas.messages import TextPart, UserContent, UserPart

from caravan.api.messages.system import PARAGRAPH

# What both the user and tools may say.
READ = (TextBlock, DocumentBlock, SearchResultBlock, ImageBlock)


@dataclass(frozen=True)
class Content:
    """The content of a message. `paths` says from which block an image is, by its index in the content."""

    value: UserContent
    paths: Mapping[int, str] = field(default_factory=dict)


def content_of(blocks: Sequence[tuple[str, object]], prefix: str = "") -> Content:
    """Write blocks with their paths, behind a `prefix`."""
    if not any(isinstance(block, ImageBlock) for _, block in blocks):
        return Content(prefix + PARAGRAPH.join(read(block) for _, block in blocks))
    # There is a text at the beginning in any case, so that something can be put before it.
    parts: list[UserPart] = [TextPart(type="text", text=prefix)]
    paths: dict[int, str] = {}
    for is_image, group in groupby(blocks, key=lambda placed: isinstance(placed[1], ImageBlock)):
        if not is_image:
            parts.append(TextPart(type="text", text=PARAGRAPH.join(read(block) for _, block in group)))
            continue
        for path, block in group:
            paths[len(parts)] = path
            parts.append(_image(block))
    return Content(parts, paths)


def _image(block: object) -> ImagePart:
    assert isinstance(block, ImageBlock)
    source = block.source
    if isinstance(source, UrlSource):
        return ImagePart(type="image_url", image_url=ImageUrl(url=source.url))
    url = f"data:{source.media_type};base64,{source.data}"
    return ImagePart(type="image_url", image_url=ImageUrl(url=url))


def read(block: object) -> str:
    """Write a block that is read as it is."""
    match block:
        case TextBlock(text=text):
            return text
        case DocumentBlock(source=source, title=title, context=context):
            text = source.data if isinstance(source, PlainSource) else _joined(source.content)
            return _document(title, context, text)
        case SearchResultBlock(title=title, source=address, content=content):
            return _document(title, address, _joined(content))
    raise AssertionError(block)


def before(text: str, content: UserContent) -> UserContent:
    """Put a paragraph before what is said."""
    if isinstance(content, str):
        return f"{text}{PARAGRAPH}{content}"
    first, *others = content
    assert isinstance(first, TextPart)
    # An image may follow at once.
    return [TextPart(type="text", text=f"{text}{PARAGRAPH}{first.text}"), *others]


def behind(content: UserContent, text: str) -> UserContent:
    """Put a paragraph behind what is said."""
    if isinstance(content, str):
        return f"{content}{PARAGRAPH}{text}"
    return [*content, TextPart(type="text", text=f"{PARAGRAPH}{text}")]


def _document(*parts: str | None) -> str:
    return f"<document>\n{PARAGRAPH.join(filter(None, parts))}\n</document>"


def _joined(content: TextContent) -> str:
    return content if isinstance(content, str) else PARAGRAPH.join(block.text for block in content)
