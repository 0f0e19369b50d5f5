"""The one base of every shape on the wire, and how unions choose their members by what JSON says."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, PydanticCustomError

from caravan_schemas.glossary import meaning_of

# The type of the error about a member that others have and this server does not.
UNSUPPORTED = "unsupported_kind"

# Members of unions by what JSON has for them.
_TAGS: dict[object, str] = {
    str: "<string>",
    Literal: "<string>",
    bool: "<boolean>",
    int: "<number>",
    float: "<number>",
    list: "<array>",
    dict: "<object>",
}


def _describe(document: dict[str, Any], shape: type[BaseModel]) -> None:
    """Say in a shape's JSON schema what those fields mean that have no description of their own."""
    for name, field in document.get("properties", {}).items():
        if "description" not in field and (meaning := meaning_of(shape, name)) is not None:
            field["description"] = meaning


class Schema(BaseModel):
    """Strict in what it reads: no coercion, no unknown fields, no NaN or infinity.

    Responses are written with `exclude_unset`, so a null that OpenAI sends is a null that the builder set.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, json_schema_extra=_describe)

    def sets_any_of(self, part: type[BaseModel]) -> bool:
        """Say whether the sender has set any field of a class that this one is made of."""
        return not self.model_fields_set.isdisjoint(part.model_fields)


@dataclass(frozen=True, kw_only=True)
class UnionChoice:
    """Annotates a union: `tag` says which member a value is for. A member's tag is what JSON has for it; with
    a `key`, it is what objects may have there. A `Tag` on the member comes before both.

    The error about other values is `message`, in which `{names}` are those of objects, `{texts}` other texts.
    """

    error_type: str
    message: str
    tag: Callable[[object], str]
    key: str | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Have Pydantic make such a union (its protocol)."""
        members = get_args(source) if get_origin(source) in (Union, UnionType) else (source,)
        names: list[str] = []
        texts: list[str] = []
        tagged: list[Any] = []
        for member in members:
            own, *notes = get_args(member) if get_origin(member) is Annotated else (member,)
            is_object = isinstance(own, type) and issubclass(own, Schema)
            if any(isinstance(note, Tag) for note in notes):
                tagged.append(member)
            elif is_object and self.key is not None:
                values = _texts_of(own.model_fields[self.key].annotation)
                names += values
                tagged += (Annotated[member, Tag(f"<{value}>")] for value in values)
            else:
                texts += _texts_of(own)
                kind = "<object>" if is_object else _TAGS[get_origin(own) or own]
                tagged.append(Annotated[member, Tag(kind)])
        message = self.message.format(names=_listed(names), texts=f"{_listed(texts)}, or " if texts else "")
        chosen = Discriminator(self.tag, custom_error_type=self.error_type, custom_error_message=message)
        return handler.generate_schema(Annotated[reduce(or_, tagged), chosen])


def _texts_of(annotation: object) -> list[str]:
    """List the texts that an annotation allows by name."""
    if isinstance(annotation, str):
        return [annotation]
    return [text for part in get_args(annotation) for text in _texts_of(part)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def string_or_array(error_type: str, items: str) -> UnionChoice:
    """Choose between a text and an array; the error about others says what `items` are."""
    return by_json_type(error_type, f"must be a string or an array of {items}")


def by_json_type(error_type: str, message: str) -> UnionChoice:
    """Choose the member of a union by what JSON has; the error about what is none of them is `message`."""
    return UnionChoice(error_type=error_type, message=message, tag=_json_type)


def _json_type(value: object) -> str:
    return "<object>" if isinstance(value, Schema) else _TAGS.get(type(value), "<other>")


def type_of(value: object, key: str = "type") -> str | None:
    """The `type` of a JSON object or of what was made of it; None where it is no text."""
    kind = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    return kind if isinstance(kind, str) else None


def type_tag(value: object, key: str = "type") -> str:
    """The tag of a union's member."""
    return "<string>" if isinstance(value, str) else f"<{type_of(value, key) or 'other'}>"


def by_type(error_type: str, *, key: str = "type", tag: Callable[[object], str] | None = None) -> UnionChoice:
    """Choose the member of a union by its `type`, or by another `key`; the error about others names all."""

    def usual(value: object) -> str:
        return type_tag(value, key)

    message = f"must be {{texts}}an object whose '{key}' is one of {{names}}"
    return UnionChoice(error_type=error_type, message=message, tag=tag or usual, key=key)


def without(kinds: Container[str], supported: str) -> BeforeValidator:
    """Refuses objects of these types by name; `supported` ends the sentence that says what there is."""

    def check(value: object) -> object:
        kind = type_of(value)
        if kind is not None and kind in kinds:
            raise PydanticCustomError(
                UNSUPPORTED, f"has the type '{kind}', which is not supported; {supported}"
            )
        return value

    return BeforeValidator(check)
