"""Messages of Ollama's API into those of a chat, one for one. Results of tools find their calls."""

import json
from collections.abc import Sequence

from caravan_schemas.media import ImagePart
from caravan_schemas.messages import (
    AssistantMessage,
    Message,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserContent,
    UserMessage,
    UserPart,
)
from caravan_schemas.ollama import OllamaCall, OllamaMessage
from caravan_schemas.tools import PastFunction, PastFunctionCall

from caravan.errors import InvalidValueError


def conversation(given: Sequence[OllamaMessage]) -> list[Message]:
    """Translate the messages. Raises InvalidRequestError over a result that no call waits for."""
    waiting: list[PastFunctionCall] = []
    messages: list[Message] = []
    for index, message in enumerate(given):
        content = message.content or ""
        if message.images and message.role in ("system", "assistant"):
            complaint = f"are not supported with the role '{message.role}'"
            raise InvalidValueError(f"messages[{index}].images", complaint)
        if message.role == "tool":
            call = _called(f"messages[{index}]", message, waiting)
            waiting.remove(call)
            name = message.tool_name or None
            messages.append(
                ToolMessage(
                    role="tool",
                    content=content_of(content, message.images),
                    tool_call_id=call.id,
                    name=name,
                )
            )
        elif message.role == "assistant":
            waiting = [_call(call, f"call_{index}_{n}") for n, call in enumerate(message.tool_calls or ())]
            messages.append(_answer(message, list(waiting)))
        elif message.role == "system":
            messages.append(SystemMessage(role="system", content=content))
        else:
            messages.append(UserMessage(role="user", content=content_of(content, message.images)))
    return messages


def content_of(text: str, images: Sequence[str] | None) -> UserContent:
    """Write what a message says, with its images before it, as Ollama has them."""
    if not images:
        return text
    parts: list[UserPart] = [
        ImagePart(type="image_url", image_url=f"data:;base64,{image}") for image in images
    ]
    return [*parts, TextPart(type="text", text=text)]


def _answer(message: OllamaMessage, calls: list[PastFunctionCall]) -> AssistantMessage:
    answer = AssistantMessage(role="assistant", content=message.content or (None if calls else ""))
    answer.reasoning_content = message.thinking or None
    answer.tool_calls = [*calls] or None
    return answer


def _call(call: OllamaCall, call_id: str) -> PastFunctionCall:
    arguments = json.dumps(call.function.arguments, ensure_ascii=False)
    function = PastFunction(name=call.function.name, arguments=arguments)
    return PastFunctionCall(id=call.id or call_id, type="function", function=function)


def _called(path: str, result: OllamaMessage, waiting: Sequence[PastFunctionCall]) -> PastFunctionCall:
    """Find the call of a result, by its id, by its tool, or by its turn."""
    by_id = [call for call in waiting if call.id == result.tool_call_id]
    by_name = [call for call in waiting if call.function.name == result.tool_name]
    # Who names a tool means no other.
    found = by_id or by_name or ([] if result.tool_name else list(waiting))
    if not found:
        raise InvalidValueError(path, "is the result of a tool, and no call before it waits for one")
    return found[0]
