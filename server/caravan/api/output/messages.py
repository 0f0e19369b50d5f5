"""What a choice of a chat says, in the wire's words: a message, and the deltas that add up to it."""

from caravan_schemas.chat import AssistantReply, ChatDelta
from caravan_schemas.tools import (
    CustomCall,
    CustomCallDelta,
    CustomToolCall,
    FunctionCall,
    FunctionCallDelta,
    FunctionToolCall,
    ToolCall,
    ToolCallDelta,
)

from caravan.api.output.output_format import OutputFormat
from caravan.api.output.parsed_choice import Call, ParsedChoice
from caravan.chat.parsing.events import CallStart, Channel, Delta, Event


def message_of(parsed: ParsedChoice, output_format: OutputFormat | None) -> AssistantReply:
    """A message; fields beyond OpenAI's first three are there where they say something."""
    message = AssistantReply(role="assistant", content=parsed.content, refusal=None, annotations=[])
    if parsed.reasoning:
        message.reasoning_content = parsed.reasoning
    if parsed.calls and output_format is not None:
        if output_format.is_legacy:
            call = parsed.calls[0]
            message.function_call = FunctionCall(name=call.name, arguments=call.text)
        else:
            message.tool_calls = [_call(call, output_format) for call in parsed.calls]
    return message


def delta_of(event: Event, output_format: OutputFormat, *, is_custom: bool) -> ChatDelta:
    """A delta; the name, the id and the type of a call are in its first one alone."""
    if isinstance(event, Delta):
        if event.channel is Channel.REASONING:
            return ChatDelta(reasoning_content=event.text)
        return ChatDelta(content=event.text)
    if not isinstance(event, CallStart):
        if output_format.is_legacy:
            return ChatDelta(function_call=FunctionCallDelta(arguments=event.text))
        if is_custom:
            call = ToolCallDelta(index=event.index, custom=CustomCallDelta(input=event.text))
        else:
            call = ToolCallDelta(index=event.index, function=FunctionCallDelta(arguments=event.text))
    elif output_format.is_legacy:
        return ChatDelta(function_call=FunctionCallDelta(name=event.name, arguments=""))
    elif is_custom:
        custom = CustomCallDelta(name=event.name, input="")
        call = ToolCallDelta(index=event.index, id=event.id, type="custom", custom=custom)
    else:
        function = FunctionCallDelta(name=event.name, arguments="")
        call = ToolCallDelta(index=event.index, id=event.id, type="function", function=function)
    return ChatDelta(tool_calls=[call])


def _call(call: Call, output_format: OutputFormat) -> ToolCall:
    if call.name in output_format.custom_names:
        custom = CustomCall(name=call.name, input=call.text)
        return CustomToolCall(id=call.id, type="custom", custom=custom)
    function = FunctionCall(name=call.name, arguments=call.text)
    return FunctionToolCall(id=call.id, type="function", function=function)
