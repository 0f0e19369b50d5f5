"""Unions whose members say by their `type` which they are."""

from collections.abc import Container

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

# The type of the error about a member that others have and this server does not.
UNSUPPORTED = "unsupported_kind"


def type_of(value: object) -> str | None:
    """The `type` of a JSON object or of what was made of it; None where it is no text."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) else None


def type_tag(value: object) -> str:
    """The tag of a union's member."""
    return f"<{type_of(value) or 'other'}>"


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
