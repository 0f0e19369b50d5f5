"""The one base of every shape on the wire, and how unions choose their members by what JSON says."""

from collections.abc import Callable, Container

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator
from pydantic_core import PydanticCustomError

# The type of the error about a member that others have and this server does not.
UNSUPPORTED = "unsupported_kind"

_TAGS = {
    str: "<string>",
    bool: "<boolean>",
    int: "<number>",
    float: "<number>",
    list: "<array>",
    dict: "<object>",
}


class Schema(BaseModel):
    """Strict in what it reads: no coercion, no unknown fields, no NaN or infinity.

    Responses are written with `exclude_unset`, so a null that OpenAI sends is a null that the builder set.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    def sets_any_of(self, part: type[BaseModel]) -> bool:
        """Say whether the sender has set any field of a class that this one is made of."""
        return not self.model_fields_set.isdisjoint(part.model_fields)


def string_or_array(error_type: str, items: str) -> Discriminator:
    """Chooses between the tags `<string>` and `<array>`; the error about others says what `items` are."""
    return by_json_type(error_type, f"must be a string or an array of {items}")


def by_json_type(error_type: str, message: str) -> Discriminator:
    """Chooses between the tags `<string>`, `<boolean>`, `<number>`, `<array>` and `<object>`.

    The error about a value of none of the union's types is `message`.
    """
    return Discriminator(_json_type, custom_error_type=error_type, custom_error_message=message)


def _json_type(value: object) -> str:
    return "<object>" if isinstance(value, Schema) else _TAGS.get(type(value), "<other>")


def type_of(value: object) -> str | None:
    """The `type` of a JSON object or of what was made of it; None where it is no text."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) else None


def type_tag(value: object) -> str:
    """The tag of a union's member."""
    return f"<{type_of(value) or 'other'}>"


def by_type(
    error_type: str, *types: str, tag: Callable[[object], str] = type_tag, or_one_of: str = ""
) -> Discriminator:
    """Chooses the member of a union by its `type`, one of `types`; the error about others names them.

    `or_one_of` names texts that may stand in an object's place, if `tag` knows them.
    """
    listed = ", ".join(f"'{name}'" for name in types)
    texts = f"{or_one_of}, or " if or_one_of else ""
    message = f"must be {texts}an object whose 'type' is one of {listed}"
    return Discriminator(tag, custom_error_type=error_type, custom_error_message=message)


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
