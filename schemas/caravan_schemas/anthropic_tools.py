"""Anthropic's Messages API: the tools of requests."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, Tag

from caravan_schemas.base import Schema, by_type, type_of, without
from caravan_schemas.built_in_tools import BUILT_IN, BUILT_IN_TAG, GROUPS, BuiltInTool

ToolUseName = Annotated[str, StringConstraints(pattern="^[a-zA-Z0-9_-]{1,128}$")]


class ClientTool(Schema):
    """A tool that the caller runs. Calls always satisfy the schema, also without `strict`."""

    type: Literal["custom"] | None = None
    name: ToolUseName
    description: str | None = Field(
        default=None, description="When and how to call it, for the model to read."
    )
    input_schema: dict[str, Any] = Field(description="The JSON schema of the input, which is an object.")
    strict: bool | None = Field(default=None, description="It has no effect: calls keep to the schema.")
    defer_loading: bool | None = Field(
        default=None,
        description="True: the model sees the tool, and may call it, from the first block on that names it:"
        " a `tool_reference` in a result, or a `tool_addition`.",
    )


def _tool_tag(value: object) -> str:
    kind = type_of(value)
    if kind in BUILT_IN:
        return BUILT_IN_TAG
    return "<custom>" if kind in (None, "custom") else f"<{kind}>"


MessagesTool = Annotated[
    ClientTool | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
    by_type("tool_kind", tag=_tool_tag),
    without(GROUPS, "tools of the type 'custom' are"),
]


class ToolUseChoice(Schema):
    """Who decides whether a tool is called."""

    type: Literal["auto", "any", "tool", "none"] = Field(
        description="`auto` leaves calls to the model, `any` asks for one call or more, `tool` for one of "
        "the named tool, and `none` allows no call."
    )
    name: ToolUseName | None = Field(default=None, description="The tool, with `tool`.")
    disable_parallel_tool_use: bool | None = Field(
        default=None, description="True: the model makes one call at most. Default false."
    )
