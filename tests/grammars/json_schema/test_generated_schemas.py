"""Schemas as generators write them: pydantic, zod, TypeBox, schemars, OpenAPI and servers of MCP.

Those of pydantic, zod (3 and 4) and TypeBox are recorded; the others are written after their documentation.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.json_schema.json_pointer import pointer
from caravan.grammars.json_schema.lenient import kept
from caravan.grammars.json_schema.llguidance_fixes import prepared
from caravan.grammars.json_schema.locate_error import located
from caravan.grammars.json_schema.normalize import SchemaError

DATA = Path(__file__).parent / "data" / "generated_schemas.json"
SCHEMAS: dict[str, dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))
# What of each is refused in an answer's schema.
REFUSED = {
    "pydantic_everything": "/properties/snowflake/enum",
    "typebox_tuple": "/properties/u/anyOf/1/type",
    "typebox_not": "/",
    "mcp_loose": "/dependentRequired",
}
# What of a tool's arguments is left to the model; nothing of the others.
LEFT = {
    "pydantic_everything": ["/properties/raw/format", "/properties/snowflake/enum"],
    "pydantic_sets": ["/properties/tags/uniqueItems"],
    "zod3_set": ["/properties/tags/uniqueItems"],
    "zod3_openapi": ["/properties/a/nullable"],
    "zod3_dates": ["/properties/i/format"],
    "typebox_tuple": ["/properties/u/anyOf/1/type", "/properties/e/type"],
    "typebox_not": ["/required"],
    "schemars": [
        "/properties/count/format",
        "/properties/size/format",
        "/properties/ratio/format",
        "/definitions/Box_for_double/properties/value/format",
    ],
    "schemars_1_0": ["/properties/id/format", "/properties/tags/uniqueItems"],
    "openapi_net": [
        "/components",
        "/properties/id/format",
        "/properties/price/format",
        "/properties/when/nullable",
    ],
    "mcp_loose": ["/properties/query/pattern", "/dependentRequired", "/properties/when/format"],
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_keep_to_them_or_the_place_is_named(name: str) -> None:
    if name not in REFUSED:
        assert located(GrammarCompiler(), SCHEMAS[name]).constraint.grammar
        return
    with pytest.raises(SchemaError) as caught:
        located(GrammarCompiler(), SCHEMAS[name])
    assert caught.value.pointer == REFUSED[name]


@pytest.mark.parametrize("name", SCHEMAS)
def test_tools_keep_to_all_but_single_keywords(name: str) -> None:
    made = kept(GrammarCompiler(), {"type": "object", **SCHEMAS[name]})
    assert [pointer(path) for path in made.unenforced] == LEFT.get(name, [])
    assert made.schema.keys() & {"properties", "patternProperties", "allOf"}
    assert GrammarCompiler().from_schema({**prepared(made).schema, "type": "object"})
