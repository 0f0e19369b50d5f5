"""Tools: what a request offers, which of them it wants called, and calls in messages and answers."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, Tag

from caravan_schemas.base import Schema, by_json_type, by_type, without
from caravan_schemas.built_in_tools import BUILT_IN, BUILT_IN_TAG, GROUPS, BuiltInTool, tool_tag

# OpenAI's own limits.
MAX_TOOLS = 128
NAME_PATTERN = "^[a-zA-Z0-9_-]{1,64}$"
# They bound the work that one body can cause.
MAX_CALLS = 128
MAX_DEFINITION = 65_536

ToolName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class FunctionDefinition(Schema):
    """A function by its name and the JSON schema of its arguments."""

    name: ToolName
    description: str | None = Field(
        default=None, description="When and how to call it, for the model to read."
    )
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="The JSON schema of the arguments, which are an object. Without it there are none.",
    )
    strict: bool | None = Field(
        default=None,
        description="True: check the schema by OpenAI's rules for strict schemas. Default false.",
    )


class FunctionTool(Schema):
    """A tool that takes a JSON object."""

    type: Literal["function"]
    function: FunctionDefinition


class MovedTool(FunctionTool):
    """A function that the prompt lists elsewhere than with the others, or that cannot be called at present.

    No request has one: protocols whose tools come and go are translated into them.
    """

    is_listed: bool
    is_callable: bool


class TextInput(Schema):
    """Any text."""

    type: Literal["text"]


class InputGrammar(Schema):
    """What the input of a custom tool has to match."""

    syntax: Literal["lark", "regex"] = Field(
        description="`lark` is llguidance's dialect of Lark, `regex` Rust's syntax."
    )
    definition: Annotated[str, StringConstraints(min_length=1, max_length=MAX_DEFINITION)]


class GrammarInput(Schema):
    """Text that matches a grammar."""

    type: Literal["grammar"]
    grammar: InputGrammar


InputFormat = Annotated[
    TextInput | GrammarInput,
    by_type("input_format_kind"),
]


class CustomDefinition(Schema):
    """A custom tool by its name and the format of its input."""

    name: ToolName
    description: str | None = Field(
        default=None, description="When and how to call it, for the model to read."
    )
    format: InputFormat | None = Field(
        default=None, description="The format of the input. Any text by default."
    )


class CustomTool(Schema):
    """A tool that takes one text."""

    type: Literal["custom"]
    custom: CustomDefinition


OWN_TOOLS = "tools of the types 'function' and 'custom' are"
Tool = Annotated[
    FunctionTool | CustomTool | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
    by_type("tool_kind", tag=tool_tag),
    without(GROUPS, OWN_TOOLS),
]


class ToolReference(Schema):
    """A tool by its name."""

    name: ToolName


class FunctionChoice(Schema):
    """One function, and no other."""

    type: Literal["function"]
    function: ToolReference


class CustomChoice(Schema):
    """One custom tool, and no other."""

    type: Literal["custom"]
    custom: ToolReference


class AllowedTools(Schema):
    """Some of the tools; the others are shown to the model, and cannot be called."""

    mode: Literal["auto", "required"]
    tools: list[
        Annotated[
            FunctionChoice | CustomChoice | Annotated[BuiltInTool, Tag(BUILT_IN_TAG)],
            by_type("tool_kind", tag=tool_tag),
        ]
    ] = Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)


class AllowedToolsChoice(Schema):
    """One of some tools, or none of them, as the mode says."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolMode = Literal["none", "auto", "required"]


ToolChoice = Annotated[
    ToolMode | FunctionChoice | CustomChoice | AllowedToolsChoice,
    by_type("tool_choice_kind"),
    without(BUILT_IN, OWN_TOOLS),
]


LegacyChoice = Annotated[
    Literal["none", "auto"] | ToolReference,
    by_json_type("function_call_kind", "must be 'none', 'auto', or an object with the name of a function"),
]


class FunctionCall(Schema):
    """A function's name, and its arguments as a text that holds a JSON object."""

    name: str
    arguments: str


class FunctionToolCall(Schema):
    """A call of a function."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class CustomCall(Schema):
    """A custom tool's name and its input."""

    name: str
    input: str


class CustomToolCall(Schema):
    """A call of a custom tool."""

    id: str
    type: Literal["custom"]
    custom: CustomCall


ToolCall = FunctionToolCall | CustomToolCall


class PastFunction(FunctionCall):
    """A function's call that a client sends back. OpenAI's SDK adds the arguments as it has parsed them."""

    parsed_arguments: Any = Field(default=None, description="Not read: `arguments` has the same.")


class PastFunctionCall(FunctionToolCall):
    """A call of a function in an earlier turn. One collected from a stream may still have its index."""

    function: PastFunction
    index: int | None = Field(default=None, description="Not read.")


class PastCustomCall(CustomToolCall):
    """A call of a custom tool in an earlier turn."""

    index: int | None = Field(default=None, description="Not read.")


PastCall = Annotated[
    PastFunctionCall | PastCustomCall,
    by_type("tool_kind"),
]


class FunctionCallDelta(Schema):
    """The name in a call's first chunk, pieces of its arguments in the next."""

    name: str | None = None
    arguments: str


class CustomCallDelta(Schema):
    """The name in a call's first chunk, pieces of its input in the next."""

    name: str | None = None
    input: str


class ToolCallDelta(Schema):
    """What a chunk adds to the call of this index. Only the first chunk of a call has its id and type."""

    index: int
    id: str | None = None
    type: Literal["function", "custom"] | None = None
    function: FunctionCallDelta | None = None
    custom: CustomCallDelta | None = None
