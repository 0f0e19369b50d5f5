"""Messages off the wire into the plain dicts that templates read."""

from collections.abc import Sequence

from schemas.chat import Content, DeveloperMessage, Message, ToolMessage
from server.chat.template import ChatTemplate


def normalize(messages: Sequence[Message], template: ChatTemplate) -> list[dict[str, object]]:
    """One dict per message, its text parts joined.

    A developer message keeps its role where the template knows that word and is a system message elsewhere.
    A `name` is passed on; as with OpenAI, whether the model sees it is the template's matter.
    """
    plain = []
    for message in messages:
        role: str = message.role
        if isinstance(message, DeveloperMessage) and not template.knows_developer:
            role = "system"
        entry: dict[str, object] = {"role": role, "content": joined(message.content)}
        if message.name is not None:
            entry["name"] = message.name
        if isinstance(message, ToolMessage):
            entry["tool_call_id"] = message.tool_call_id
        plain.append(entry)
    return plain


def joined(content: Content) -> str:
    """The text of a message; consecutive parts follow each other as they are."""
    return content if isinstance(content, str) else "".join(part.text for part in content)
