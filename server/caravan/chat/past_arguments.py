"""Arguments of past calls: a text that should be a JSON object, and is shown as one whatever it is."""

from typing import Any

from pydantic_core import from_json

from caravan.chat.parsing.literals import PYTHON, converted
from caravan.chat.tool_formats.tool_spec import INPUT
from caravan.errors import InvalidRequestError
from caravan.runtime.json_size import checked_size


def past_arguments(text: str) -> dict[str, Any]:
    """The object that a text is, or was meant to be.

    A call may have been cut by a limit, or come from a model that writes Python's constants or quotes. What
    is no object at all, or one with too much in it, is shown as the input of a custom tool is: a whole
    conversation must not fail over it.
    """
    # Many clients write a call without arguments so.
    if not text.strip():
        return {}
    try:
        checked_size(text.encode())
    except InvalidRequestError:
        return {INPUT: text}
    value = _read(text)
    if isinstance(value, str):
        # Some write the JSON twice over.
        value = _read(value)
    if value is None and text.strip() in ("null", "None"):
        return {}
    return value if isinstance(value, dict) else {INPUT: text}


def _read(text: str) -> object:
    """The value of a text; None if it has none, not even one that breaks off."""
    for source, is_partial in ((text, False), (converted(text, PYTHON), False), (text, True)):
        if source is None:
            continue
        try:
            value: object = from_json(
                source, allow_inf_nan=False, allow_partial="trailing-strings" if is_partial else False
            )
        except ValueError:
            continue
        return value
    return None
