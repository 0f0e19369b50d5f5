"""Tools of the Responses API, in its flat shapes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, Tag

from caravan_schemas.base import Schema, by_type, without
from caravan_schemas.built_in_tools import BUILT_IN, BUILT_IN_TAG, BuiltInTool, tool_tag
from caravan_schemas.tools import (
    MAX_DEFINITION,
    MAX_TOOLS,
    OWN_TOOLS,
    FunctionDefinition,
    TextInput,
    ToolMode,
    ToolName,
)


class FlatFunction(FunctionDefinition):
    """A tool that takes a JSON object, which always satisfies the schema."""

    type: Literal["function"]


class FlatGrammar(Schema):
    """Text that matches a grammar."""

    type: Literal["grammar"]
    syntax: Literal["lark", "regex"] = Field(
        description="`lark` is llguidance's dialect of Lark, `regex` Rust's syntax."
    )
    definition: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DEFINITION)]


FlatInputFormat = Annotated[
    TextInput | FlatGrammar,
    by_type("input_format_kind"),
]


class FlatCustom(Schema):
    """A tool that takes one text."""

    type: Literal["custom"]
    name: ToolName
    description: str | None = Field(
        default=None, description="When and how to call it, for the model to read."
    )
    format: FlatInputFormat | None = Field(
        default=None, description="The format of the input. Any text by default."
    )


class Namespace(Schema):
    """Tools that belong together. A call of one says its name here, and the namespace."""

    type: Literal["namespace"]
    name: ToolName
    description: str | None = Field(
        default=None, description="What the tools are for, for the model to read."
    )
    tools: list[
        Annotated[
            FlatFunction | FlatCustom,
            by_type("tool_kind"),
            without(BUILT_IN, OWN_TOOLS),
        ]
    ] = Field(max_length=MAX_TOOLS, fail_fast=True)


FlatTool = Annotated[
    FlatFunction | FlatCustom | Namespace | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
    by_type("tool_kind", tag=tool_tag),
]


class FlatChoice(Schema):
    """One tool, and no other."""

    type: Literal["function", "custom"]
    name: ToolName


class FlatAllowedTools(Schema):
    """One of some tools, or none of them, as the mode says; the model sees the others, too."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[
        Annotated[
            FlatChoice | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
            by_type("tool_kind", tag=tool_tag),
        ]
    ] = Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)


FlatToolChoice = Annotated[
    ToolMode | FlatChoice | FlatAllowedTools,
    by_type("tool_choice_kind"),
    without(BUILT_IN, OWN_TOOLS),
]
