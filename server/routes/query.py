"""Query strings, read as strictly as bodies: what nobody knows or understands is refused by its name."""

from collections.abc import Container
from typing import Any

from fastapi import Request

from server.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError


class Query:
    """The parameters of a request's address. Lists may be written as `name`, `name[]` or `name[0]`."""

    def __init__(self, request: Request, known: Container[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for written, value in request.query_params.multi_items():
            name = written.partition("[")[0]
            if name not in known:
                shown = written[:100]
                raise UnknownParameterError(f"Unknown parameter: '{shown}'.", param=shown)
            self._values.setdefault(name, []).append(value)

    def texts(self, name: str) -> list[str]:
        """All values."""
        return self._values.get(name, [])

    def text(self, name: str) -> str | None:
        """The last value."""
        values = self.texts(name)
        return values[-1] if values else None

    def flag(self, name: str) -> bool:
        """True or false, which it is by default."""
        return self.choice(name, "false", "true") == "true"

    def choice(self, name: str, *choices: str) -> str:
        """One of some words, the first by default."""
        value = self.text(name)
        if value is not None and value not in choices:
            words = " or ".join(f"'{choice}'" for choice in choices)
            raise _refusal(name, f"must be {words}")
        return choices[0] if value is None else value

    def number(self, name: str, default: int, *, low: int, high: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.text(name)
        if value is None:
            return default
        number = int(value) if value.isascii() and value.isdecimal() and len(value) < 16 else -1
        if number < low or (high is not None and number > high):
            bounds = f"at least {low}" if high is None else f"from {low} to {high}"
            raise _refusal(name, f"must be a whole number, {bounds}")
        return number

    def only(self, name: str, *passing: str) -> None:
        """Refuse a parameter with any other value."""
        value = self.text(name)
        if value is not None and value not in passing:
            raise UnsupportedParameterError(f"'{name}' '{value[:100]}' is not supported here.", param=name)


def query_parameters(*names: str) -> dict[str, Any]:
    """The part of an OpenAPI operation that says which parameters its address may have."""
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}


def _refusal(name: str, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{name}' {complaint}.", param=name, code="invalid_value")
