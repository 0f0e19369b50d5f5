"""The decoding parameters as the page's controls are made from them: the schema that the OpenAPI document has
for each field, with its stage, default and neutral value.
"""

import functools
import json
from typing import Any

from caravan_schemas.parameters import parameters
from caravan_schemas.sampling import AnswerFields


@functools.cache
def parameter_document() -> bytes:
    """Write them as JSON, in the order of the documentation; always the same, so it is done once."""
    shapes: dict[str, Any] = AnswerFields.model_json_schema()
    described = [
        {
            "name": name,
            "stage": parameter.stage,
            "source": parameter.source,
            "default": parameter.default,
            "neutral": parameter.neutral,
            "aliases": parameter.aliases,
            "description": shapes["properties"][name]["description"],
            "schema": _shape(shapes["properties"][name]),
        }
        for name, parameter in parameters(AnswerFields).items()
    ]
    return json.dumps({"parameters": described, "definitions": shapes.get("$defs", {})}).encode()


def _shape(field: dict[str, Any]) -> dict[str, Any]:
    """What a value may be, without the null that leaves it to the default."""
    members = [member for member in field["anyOf"] if member != {"type": "null"}]
    return dict(members[0]) if len(members) == 1 else {"anyOf": members}
