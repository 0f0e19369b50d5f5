"""Tools of the Responses API, in its flat shapes."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from caravan_schemas.base import Schema
from caravan_schemas.built_in_tools import BUILT_IN, BUILT_IN_TAG, GROUPS, BuiltInTool, tool_tag
from caravan_schemas.kinds import type_tag, without
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
    Annotated[TextInput, Tag("<text>")] | Annotated[FlatGrammar, Tag("<grammar>")],
    Discriminator(
        type_tag,
        custom_error_type="input_format_kind",
        custom_error_message="must be an object whose 'type' is one of 'text', 'grammar'",
    ),
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


FlatTool = Annotated[
    Annotated[FlatFunction, Tag("<function>")]
    | Annotated[FlatCustom, Tag("<custom>")]
    | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
    Discriminator(
        tool_tag,
        custom_error_type="tool_kind",
        custom_error_message="must be an object whose 'type' is one of 'function', 'custom'",
    ),
    without(GROUPS, OWN_TOOLS),
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
            Annotated[FlatChoice, Tag("<function>")]
            | Annotated[FlatChoice, Tag("<custom>")]
            | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
            Discriminator(
                tool_tag,
                custom_error_type="tool_kind",
                custom_error_message="must be an object whose 'type' is one of 'function', 'custom'",
            ),
        ]
    ] = Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)


def _choice_tag(value: object) -> str:
    return "<mode>" if isinstance(value, str) else type_tag(value)


FlatToolChoice = Annotated[
    Annotated[ToolMode, Tag("<mode>")]
    | Annotated[FlatChoice, Tag("<function>")]
    | Annotated[FlatChoice, Tag("<custom>")]
    | Annotated[FlatAllowedTools, Tag("<allowed_tools>")],
    Discriminator(
        _choice_tag,
        custom_error_type="tool_choice_kind",
        custom_error_message=(
            "must be 'none', 'auto', 'required', or an object whose 'type' is one of 'function', 'custom', "
            "'allowed_tools'"
        ),
    ),
    without(BUILT_IN, OWN_TOOLS),
]
