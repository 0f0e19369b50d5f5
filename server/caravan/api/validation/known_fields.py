"""Which fields an object inside a request may have, by its place there."""

from collections.abc import Set

from caravan_schemas.base import Schema
from caravan_schemas.common import StreamOptions
from caravan_schemas.messages import (
    AssistantMessage,
    DeveloperMessage,
    FunctionMessage,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from caravan_schemas.reasoning import ThinkingPart
from caravan_schemas.responses import (
    FlatSchemaFormat,
    ReasoningOptions,
    ResponseRequest,
    ResponseStreamOptions,
    TextOptions,
)
from caravan_schemas.responses_items import (
    FlatCallOutput,
    FlatCustomCallOutput,
    InputMessage,
    InputText,
    ItemReference,
    PastFlatCall,
    PastFlatCustomCall,
    PastReasoning,
    PastRefusal,
    PastText,
    SummaryText,
)
from caravan_schemas.responses_tools import (
    FlatAllowedTools,
    FlatChoice,
    FlatCustom,
    FlatFunction,
    FlatGrammar,
)
from caravan_schemas.sampling import DebugOptions
from caravan_schemas.structured import JsonObjectFormat, JsonSchemaFormat, NamedSchema, StructuredOutputs
from caravan_schemas.tools import (
    AllowedTools,
    AllowedToolsChoice,
    CustomCall,
    CustomChoice,
    CustomDefinition,
    CustomTool,
    FunctionChoice,
    FunctionDefinition,
    FunctionTool,
    GrammarInput,
    InputGrammar,
    PastCustomCall,
    PastFunction,
    PastFunctionCall,
    ToolReference,
)


def _names(*kinds: type[Schema]) -> frozenset[str]:
    """Fields of some schemas as they are called on the wire."""
    return frozenset(field.alias or name for kind in kinds for name, field in kind.model_fields.items())


_MESSAGES = (SystemMessage, DeveloperMessage, UserMessage, AssistantMessage, ToolMessage, FunctionMessage)
_CHATS: dict[str, Set[str]] = {
    "messages[]": _names(*_MESSAGES),
    "messages[].content[]": _names(TextPart, RefusalPart, ThinkingPart),
    "messages[].tool_calls[]": _names(PastFunctionCall, PastCustomCall),
    "messages[].tool_calls[].function": _names(PastFunction),
    "messages[].tool_calls[].custom": _names(CustomCall),
    "messages[].function_call": _names(PastFunction),
    "tools[]": _names(FunctionTool, CustomTool),
    "tools[].function": _names(FunctionDefinition),
    "tools[].custom": _names(CustomDefinition),
    "tools[].custom.format": _names(GrammarInput),
    "tools[].custom.format.grammar": _names(InputGrammar),
    "tool_choice": _names(FunctionChoice, CustomChoice, AllowedToolsChoice),
    "tool_choice.function": _names(ToolReference),
    "tool_choice.custom": _names(ToolReference),
    "tool_choice.allowed_tools": _names(AllowedTools),
    "tool_choice.allowed_tools.tools[]": _names(FunctionChoice, CustomChoice),
    "functions[]": _names(FunctionDefinition),
    "function_call": _names(ToolReference),
    "debug": _names(DebugOptions),
    "response_format": _names(JsonObjectFormat, JsonSchemaFormat),
    "response_format.json_schema": _names(NamedSchema),
    "stream_options": _names(StreamOptions),
    "structured_outputs": _names(StructuredOutputs),
}

_RESPONSES: dict[str, Set[str]] = {
    "input[]": _names(
        InputMessage,
        PastReasoning,
        PastFlatCall,
        FlatCallOutput,
        PastFlatCustomCall,
        FlatCustomCallOutput,
        ItemReference,
    ),
    "input[].content[]": _names(InputText, PastText, PastRefusal),
    "input[].output[]": _names(InputText),
    "input[].summary[]": _names(SummaryText),
    "tools[]": _names(FlatFunction, FlatCustom),
    "tools[].format": _names(FlatGrammar),
    "tool_choice": _names(FlatChoice, FlatAllowedTools),
    "tool_choice.tools[]": _names(FlatChoice),
    "debug": _names(DebugOptions),
    "reasoning": _names(ReasoningOptions),
    "stream_options": _names(ResponseStreamOptions),
    "structured_outputs": _names(StructuredOutputs),
    "text": _names(TextOptions),
    "text.format": _names(JsonObjectFormat, FlatSchemaFormat),
}


def names_at(schema: type[Schema], pattern: str) -> Set[str]:
    """The names at a place, such as `messages[].content[]`, of a request."""
    table = _RESPONSES if schema is ResponseRequest else _CHATS
    return table.get(pattern, frozenset())
