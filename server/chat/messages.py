"""Messages off the wire into the plain dicts that templates read."""

from collections.abc import Sequence

from schemas.messages import (
    AssistantContent,
    AssistantMessage,
    Content,
    DeveloperMessage,
    FunctionMessage,
    Message,
    RefusalPart,
    ToolMessage,
)
from server.chat.history import OpenCalls, call_entries
from server.chat.template import ChatTemplate
from server.errors import InvalidRequestError

Plain = dict[str, object]


def normalize(messages: Sequence[Message], template: ChatTemplate) -> list[Plain]:
    """One dict per message, its text parts joined; raises InvalidRequestError naming what cannot be.

    A developer message keeps its role where the template knows that word and is a system message elsewhere.
    A `name` is passed on; as with OpenAI, whether the model sees it is the template's matter. Arguments of
    calls become objects, and results follow their calls in the calls' order.
    """
    plain: list[Plain] = []
    calls = OpenCalls()
    for index, message in enumerate(messages):
        if isinstance(message, ToolMessage | FunctionMessage):
            calls.answer(f"messages[{index}]", message, joined(message.content or ""))
            continue
        plain.extend(calls.results())
        calls = OpenCalls()
        entry: Plain = {"role": _role(message, template), "content": joined(message.content or "")}
        if message.name is not None:
            entry["name"] = message.name
        if isinstance(message, AssistantMessage):
            calls = _complete(entry, message, f"messages[{index}]", template)
        plain.append(entry)
    return [*plain, *calls.results()]


def joined(content: Content | AssistantContent) -> str:
    """The text of a message; consecutive parts follow each other as they are."""
    if isinstance(content, str):
        return content
    return "".join(part.refusal if isinstance(part, RefusalPart) else part.text for part in content)


def _role(message: Message, template: ChatTemplate) -> str:
    if isinstance(message, DeveloperMessage) and not template.knows_developer:
        return "system"
    return message.role


def _complete(entry: Plain, message: AssistantMessage, path: str, template: ChatTemplate) -> OpenCalls:
    """Add to an assistant's entry what only it may have; returns its calls, which wait for results."""
    calls, entries = call_entries(message, path, template)
    if message.content is None and message.refusal is not None:
        entry["content"] = message.refusal
    elif message.content is None and not entries:
        where = f"{path}.content"
        raise InvalidRequestError(
            f"'{where}' is required where there are no calls.", param=where, code="missing_required_parameter"
        )
    elif message.content is None and template.tests_for_none:
        entry["content"] = None
    if message.reasoning_content:
        entry["reasoning_content"] = message.reasoning_content
    if entries:
        entry["tool_calls"] = entries
    return calls
