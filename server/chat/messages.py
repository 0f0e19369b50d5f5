"""Messages off the wire into the plain dicts that templates read."""

from collections.abc import Sequence

from schemas.chat import Content, DeveloperMessage, Message, ToolMessage
from server.chat.template import ChatTemplate
from server.errors import UnsupportedParameterError


def normalize(messages: Sequence[Message], template: ChatTemplate) -> list[dict[str, object]]:
    """One dict per message, its text parts joined.

    A developer message keeps its role where the template knows that word and is a system message elsewhere.
    A `name` is refused where the template would not show it to the model.
    """
    plain = []
    for index, message in enumerate(messages):
        role: str = message.role
        if isinstance(message, DeveloperMessage) and not template.knows_developer:
            role = "system"
        entry: dict[str, object] = {"role": role, "content": joined(message.content)}
        if message.name is not None:
            if role not in template.roles_with_names:
                reason = f"the model's chat template does not show the name of a {role} message"
                param = f"messages[{index}].name"
                raise UnsupportedParameterError(f"'{param}' is not supported: {reason}.", param=param)
            entry["name"] = message.name
        if isinstance(message, ToolMessage):
            entry["tool_call_id"] = message.tool_call_id
        plain.append(entry)
    return plain


def joined(content: Content) -> str:
    """The text of a message; consecutive parts follow each other as they are."""
    return content if isinstance(content, str) else "".join(part.text for part in content)
