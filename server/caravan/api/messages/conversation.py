"""Turns of Anthropic's blocks into the messages of a chat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from caravan_schemas.anthropic import MessagesConversation
from caravan_schemas.anthropic_blocks import (
    Block,
    DocumentBlock,
    FoundTool,
    ImageBlock,
    PastToolUse,
    Said,
    SearchResultBlock,
    TextBlock,
    ThoughtBlock,
    ToolChange,
    ToolResult,
)
from caravan_schemas.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from caravan_schemas.tools import PastFunction, PastFunctionCall
from pydantic_core import to_json

from caravan.api.messages.content import READ, Content, before, behind, content_of
from caravan.api.messages.present_tools import PresentTools
from caravan.api.messages.signatures import thought_of
from caravan.api.messages.system import PARAGRAPH, SystemPrompt, system_prompt
from caravan.errors import InvalidValueError

_FAILED = "Error: "


@dataclass(frozen=True)
class _Placed:
    """A block, and the path that errors call it by."""

    path: str
    block: Block


@dataclass
class Conversation:
    """The messages of a chat. `places` maps paths in them, such as `messages[2]`, to paths in the request.

    With `is_open`, the answer continues the last message. `held` is what the system said between calls and
    their results, which comes after these.
    """

    system: SystemPrompt
    tools: PresentTools
    messages: list[Message] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    is_open: bool = False
    held: Sequence[_Placed] = ()

    def add(self, path: str, message: Message, content: Content | None = None) -> None:
        """Append a message that comes from a place in the request, whose `content` may have images."""
        place = f"messages[{len(self.messages)}]"
        self.places[place] = path
        if content is not None:
            self.places |= {f"{place}.content[{index}]": of for index, of in content.paths.items()}
        self.messages.append(message)

    def add_held(self) -> None:
        """Append what is held, if there is something."""
        if self.held:
            text = _told(self.tools, self.held)
            self.add(self.held[0].path, SystemMessage(role="system", content=text))
        self.held = ()

    @property
    def has_calls(self) -> bool:
        """Whether the last message has calls, whose results are to follow."""
        last = self.messages[-1] if self.messages else None
        return isinstance(last, AssistantMessage) and bool(last.tool_calls)


def conversation(request: MessagesConversation) -> Conversation:
    """Read a conversation; raises InvalidRequestError. Consecutive messages of one role are one turn."""
    found = Conversation(system_prompt(request.system), PresentTools(request))
    if found.system.text:
        found.add("system", SystemMessage(role="system", content=found.system.text))
    for role, group in groupby(_shown(request.messages), key=lambda numbered: numbered[1].role):
        blocks = [placed for place, message in group for placed in _placed(place, message)]
        match role:
            case "assistant":
                _add_answer(found, blocks)
            case "system":
                _refuse_others(blocks, "system", TextBlock, ToolChange)
                found.held = blocks
                if not found.has_calls:
                    found.add_held()
            case "user":
                _add_user(found, blocks)
    found.add_held()
    found.is_open = isinstance(found.messages[-1], AssistantMessage) and not found.has_calls
    _add_dates(found)
    return found


def _shown(messages: Sequence[Said]) -> Iterator[tuple[int, Said]]:
    """Number the messages, and leave out those that were for an earlier turn of the user alone."""
    last_asked = max((place for place, said in enumerate(messages) if said.role == "user"), default=-1)
    for place, said in enumerate(messages):
        if said.clear_at is not None and said.role != "system":
            raise InvalidValueError(f"messages[{place}].clear_at", "goes with the role 'system' alone")
        if place > last_asked or said.clear_at != "next_user_message":
            yield place, said


def _placed(place: int, message: Said) -> list[_Placed]:
    path = f"messages[{place}].content"
    if isinstance(message.content, str):
        return [_Placed(path, TextBlock(type="text", text=message.content))]
    if not message.content:
        return [_Placed(path, TextBlock(type="text", text=""))]
    return [_Placed(f"{path}[{index}]", block) for index, block in enumerate(message.content)]


def _add_answer(found: Conversation, blocks: Sequence[_Placed]) -> None:
    """Add the assistant's turn; its texts follow each other as they are."""
    calls: list[PastFunctionCall] = []
    texts: list[str] = []
    thoughts: list[str] = []
    for placed in blocks:
        match placed.block:
            case TextBlock(text=text):
                texts.append(text)
            case ThoughtBlock() as block:
                thoughts.append(thought_of(block))
            case PastToolUse() as use:
                found.places[f"messages[{len(found.messages)}].tool_calls[{len(calls)}]"] = placed.path
                function = PastFunction(name=use.name, arguments=to_json(use.input).decode())
                calls.append(PastFunctionCall(id=use.id, type="function", function=function))
            case ToolResult() | ToolChange() | ImageBlock() | DocumentBlock() | SearchResultBlock() as other:
                raise _misplaced(placed.path, other.type, "assistant")
    message = AssistantMessage(role="assistant", content="".join(texts) if texts or not calls else None)
    message.reasoning_content = "\n".join(filter(None, thoughts)) or None
    message.tool_calls = [*calls] or None
    found.add(blocks[0].path, message)


def _add_user(found: Conversation, blocks: Sequence[_Placed]) -> None:
    """Add the user's turn: results follow their calls, and what the user says comes after them."""
    _refuse_others(blocks, "user", ToolResult, *READ)
    for placed in blocks:
        if isinstance(placed.block, ToolResult):
            result = placed.block
            content = _returned(found.tools, placed.path, result)
            message = ToolMessage(role="tool", content=content.value, tool_call_id=result.tool_use_id)
            found.add(placed.path, message, content)
    found.add_held()
    said = [(placed.path, placed.block) for placed in blocks if isinstance(placed.block, READ)]
    if said:
        content = content_of(said)
        found.add(said[0][0], UserMessage(role="user", content=content.value), content)


def _refuse_others(blocks: Sequence[_Placed], role: str, *kinds: type[Block]) -> None:
    for placed in blocks:
        if not isinstance(placed.block, kinds):
            raise _misplaced(placed.path, placed.block.type, role)


def _misplaced(path: str, kind: str, role: str) -> InvalidValueError:
    return InvalidValueError(path, f"is of the type '{kind}', which the role '{role}' cannot have")


def _told(tools: PresentTools, blocks: Sequence[_Placed]) -> str:
    """Write a message of the system, in which tools may come and go."""
    texts = []
    for placed in blocks:
        match placed.block:
            case TextBlock(text=text):
                texts.append(text)
            case ToolChange(type="tool_addition", tool=tool):
                texts.append(tools.add([(f"{placed.path}.tool.name", tool.name)]))
            case ToolChange(tool=tool):
                texts.append(tools.remove(f"{placed.path}.tool.name", tool.name))
    return PARAGRAPH.join(texts)


def _returned(tools: PresentTools, path: str, result: ToolResult) -> Content:
    failed = _FAILED if result.is_error else ""
    content = result.content or ""
    if isinstance(content, str):
        return Content(failed + content)
    placed = [(f"{path}.content[{index}]", block) for index, block in enumerate(content)]
    told: list[tuple[str, object]] = [(where, block) for where, block in placed if isinstance(block, READ)]
    names = [
        (f"{where}.tool_name", block.tool_name) for where, block in placed if isinstance(block, FoundTool)
    ]
    if names:
        told.append((path, TextBlock(type="text", text=tools.add(names))))
    return content_of(told, failed)


def _add_dates(found: Conversation) -> None:
    """Tell the date before what the user says first, and the time of day after all that has been said.

    A date is the same through most conversations, a time of day in no two requests.
    """
    system = found.system
    heard = list(_heard(found.messages))
    if system.days and heard:
        heard[0].content = before("\n".join(system.days), heard[0].content)
    if system.clocks and heard:
        heard[-1].content = behind(heard[-1].content, "\n".join(system.clocks))


def _heard(messages: Sequence[Message]) -> Iterator[UserMessage | ToolMessage]:
    """List what the model was told after the system prompt."""
    return (message for message in messages if isinstance(message, UserMessage | ToolMessage))
