"""Finished answers held against their constraint, by other code than that which enforced it."""

import json
import logging

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from server.service.constraints.keywords import subschemas
from server.service.constraints.request import Kind, Wanted

log = logging.getLogger(__name__)


def _unchecked(*_arguments: object) -> None:
    return None


# Python's regular expressions can take for ever, which no client may cause; Rust's cannot.
_Validator = extend(Draft202012Validator, {"pattern": _unchecked})


class Verdict:
    """Says what is wrong with a whole answer. Lark, regular expressions and patterns are not looked at."""

    def __init__(self, request: Wanted) -> None:
        self._choices = set(request.source) if request.kind is Kind.CHOICE else None
        self._validator = None
        if isinstance(request.source, dict):
            self._validator = None if _has_patterns(request.source) else _Validator(request.source)

    def fault(self, text: str) -> str | None:
        """How a finished answer breaks its constraint, None if it keeps to it or nobody can say."""
        if self._choices is not None:
            return None if text in self._choices else "it is none of the choices"
        if self._validator is None:
            return None
        try:
            self._validator.validate(json.loads(text))
        except ValidationError as error:
            return f"at {error.json_path}: {error.message[:200]}"
        except ValueError as error:
            return f"it is not JSON: {error}"
        except RecursionError:
            log.warning("an answer is nested too deeply to be checked")
        return None


def _has_patterns(schema: object) -> bool:
    """Whether names of properties are matched against patterns anywhere, which cannot be left out singly."""
    if not isinstance(schema, dict):
        return False
    return "patternProperties" in schema or any(_has_patterns(inner) for _, inner in subschemas(schema))
