"""Items into the messages of a chat: what belongs to one turn of the model becomes one message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from caravan_schemas.messages import (
    AssistantMessage,
    DeveloperMessage,
    Message,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserContent,
    UserMessage,
    UserPart,
)
from caravan_schemas.responses_items import (
    AdditionalTools,
    Compaction,
    FlatCallOutput,
    FlatCustomCallOutput,
    InputMessage,
    Item,
    ItemReference,
    PastFlatCall,
    PastFlatCustomCall,
    PastReasoning,
)
from caravan_schemas.tools import CustomCall, PastCall, PastCustomCall, PastFunction, PastFunctionCall

from caravan.api.responses.compaction import summary_in
from caravan.api.responses.content import content_of, has_media, refuse_media, text_of
from caravan.errors import InvalidValueError, UnsupportedParameterError

# Where an item is that came with an earlier response, or is one of a conversation.
HISTORY = "previous_response_id"
CONVERSATION = "conversation"
_EARLIER = (HISTORY, CONVERSATION)
_SUMMARY = "Summary of the conversation before:"


@dataclass(frozen=True)
class Placed:
    """An item, and the path that errors call it by."""

    path: str
    item: Item


@dataclass
class _Turn:
    """The model's thoughts, text and calls between two messages of others."""

    path: str
    thoughts: list[str] = field(default_factory=list)
    content: str | None = None
    calls: list[tuple[str, PastCall]] = field(default_factory=list)


def joined_name(namespace: str | None, name: str) -> str:
    """What the model calls a tool, perhaps one of a namespace: of letters that all formats of calls take."""
    return name if namespace is None else f"{namespace.rstrip('_')}__{name}"


def conversation(
    instructions: str | None, items: Sequence[Placed], owner: str, told: Mapping[int, str] | None = None
) -> tuple[list[Message], dict[str, str]]:
    """The messages that items stand for, and which item each message, or call in it, comes from, by paths.

    The instructions come first; a system message that the items begin with is joined to them. What is `told`
    beside comes after the items of these indexes. Results follow
    their calls, wherever they came; one whose call is not there is told as the user's. Raises
    InvalidRequestError for a call without a result, a second result of a call, thoughts that only OpenAI can
    read, and a compaction that was not made here for the `owner`.
    """
    writer = _Writer(_results(items), owner)
    if instructions is not None and not _opens_with_instructions(items):
        writer.add(Placed("instructions", InputMessage(role="system", content=instructions)))
        instructions = None
    for index, placed in enumerate(items):
        writer.add(placed)
        if told and index in told:
            writer.tell(placed.path, told[index])
    writer.end()
    if instructions is not None:
        first = writer.messages[0]
        assert isinstance(first, SystemMessage | DeveloperMessage)
        first.content = f"{instructions}\n\n{first.content}"
    return writer.messages, writer.places


def without_past_thoughts(items: Sequence[Placed]) -> list[Placed]:
    """The items without the thoughts before the last that the user says."""
    said = [index for index, placed in enumerate(items) if is_of_user(placed.item)]
    last = said[-1] if said else 0
    return [p for index, p in enumerate(items) if index > last or not isinstance(p.item, PastReasoning)]


def is_of_user(item: Item) -> bool:
    """Whether an item is what the user says."""
    return isinstance(item, InputMessage) and item.role == "user"


def is_instruction(item: Item) -> bool:
    """Whether an item may come before the conversation itself."""
    is_told = isinstance(item, InputMessage) and item.role in ("system", "developer")
    return is_told or isinstance(item, AdditionalTools)


def is_said(item: Item) -> bool:
    """Whether an item is a part of the conversation itself, and has any content where it is a message."""
    if is_instruction(item) or not isinstance(item, InputMessage):
        return not is_instruction(item)
    return bool(text_of(item.content)) or has_media(item.content)


def _opens_with_instructions(items: Sequence[Placed]) -> bool:
    first = items[0].item if items else None
    return isinstance(first, InputMessage) and first.role in ("system", "developer")


class _Writer:
    def __init__(self, results: dict[str, Placed], owner: str) -> None:
        self.messages: list[Message] = []
        self.places: dict[str, str] = {}
        self._results = results
        self._asked = frozenset(results)
        self._owner = owner
        self._turn: _Turn | None = None

    def add(self, placed: Placed) -> None:
        """Take the next item in."""
        item, path = placed.item, placed.path
        match item:
            case InputMessage(role="assistant"):
                refuse_media(item.content, item.role, f"{path}.content")
                self._spoken(path, is_first=True).content = text_of(item.content)
            case PastReasoning():
                self._spoken(path, is_first=True).thoughts.append(_thought(item, path))
            case PastFlatCall() | PastFlatCustomCall():
                # A call that broke off was never made.
                if item.status != "incomplete" or item.call_id in self._results:
                    self._spoken(path).calls.append((path, _call(item)))
            case FlatCallOutput() | FlatCustomCallOutput() if item.call_id in self._asked:
                self._flush()
            case InputMessage() | FlatCallOutput() | FlatCustomCallOutput() | Compaction():
                self._flush()
                self._append(path, self._heard(item, path))
            case AdditionalTools():
                pass  # They are shown with the other tools.
            case ItemReference():
                raise AssertionError("references have been resolved")

    def tell(self, path: str, text: str) -> None:
        """Say something as the developer."""
        self._flush()
        self._append(path, DeveloperMessage(role="developer", content=text))

    def end(self) -> None:
        """There are no more items."""
        self._flush()

    def _heard(
        self, item: InputMessage | FlatCallOutput | FlatCustomCallOutput | Compaction, path: str
    ) -> Message:
        if isinstance(item, InputMessage):
            return _message(item, path)
        if isinstance(item, Compaction):
            summary = summary_in(item.encrypted_content, self._owner, f"{path}.encrypted_content")
            return UserMessage(role="user", content=f"{_SUMMARY}\n\n{summary}")
        content = _unasked(item, path)
        self._place_parts(content, path, 1)
        return UserMessage(role="user", content=content)

    def _spoken(self, path: str, *, is_first: bool = False) -> _Turn:
        """The turn that an item belongs to; a new one for what comes first in a turn, after text or calls."""
        turn = self._turn
        if turn is None or (is_first and (turn.content is not None or turn.calls)):
            self._flush()
            turn = self._turn = _Turn(path)
        return turn

    def _flush(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        for index, (path, _) in enumerate(turn.calls):
            self.places[f"messages[{len(self.messages)}].tool_calls[{index}]"] = path
        content = turn.content if turn.content is not None or turn.calls else ""
        # All of it has been validated in the items.
        message = AssistantMessage.model_construct(
            role="assistant",
            content=content,
            reasoning_content="\n".join(turn.thoughts) or None,
            tool_calls=[call for _, call in turn.calls] or None,
        )
        self._append(turn.path, message)
        for path, call in turn.calls:
            self._answer(path, call)

    def _answer(self, path: str, call: PastCall) -> None:
        result = self._results.pop(call.id, None)
        if result is None:
            name = call.function.name if isinstance(call, PastFunctionCall) else call.custom.name
            where = "input" if path in _EARLIER else path
            raise InvalidValueError(
                where, f"has no result for the call '{call.id}' of '{name}': 'input' must have it"
            )
        assert isinstance(result.item, FlatCallOutput | FlatCustomCallOutput)
        content = content_of(result.item.output, f"{result.path}.output")
        self._place_parts(content, result.path, 0)
        self._append(result.path, ToolMessage(role="tool", content=content, tool_call_id=call.id))

    def _place_parts(self, content: UserContent, path: str, num_before: int) -> None:
        """Tell where the parts of a result are, in the message that is appended next."""
        if isinstance(content, str) or path in _EARLIER:
            return
        for index in range(num_before, len(content)):
            place = f"messages[{len(self.messages)}].content[{index}]"
            self.places[place] = f"{path}.output[{index - num_before}]"

    def _append(self, path: str, message: Message) -> None:
        self.places[f"messages[{len(self.messages)}]"] = path
        self.messages.append(message)


def _results(items: Sequence[Placed]) -> dict[str, Placed]:
    """The results of the calls that are among the items, by the calls' ids."""
    called = {each.item.call_id for each in items if isinstance(each.item, PastFlatCall | PastFlatCustomCall)}
    results: dict[str, Placed] = {}
    for placed in items:
        if isinstance(placed.item, FlatCallOutput | FlatCustomCallOutput) and placed.item.call_id in called:
            if placed.item.call_id in results:
                raise InvalidValueError(f"{placed.path}.call_id", "names a call that has a result already")
            results[placed.item.call_id] = placed
    return results


def _unasked(item: FlatCallOutput | FlatCustomCallOutput, path: str) -> UserContent:
    """A result as the model is told it where it does not see the call."""
    of = ""
    if isinstance(item, FlatCallOutput) and item.name is not None:
        of = f" of {joined_name(item.namespace, item.name)}"
    told = f"Result of an earlier call{of}:\n\n"
    content = content_of(item.output, f"{path}.output")
    if isinstance(content, str):
        return told + content
    parts: list[UserPart] = [TextPart(type="text", text=told), *content]
    return parts


def _message(item: InputMessage, path: str) -> Message:
    if item.role == "user":
        return UserMessage(role="user", content=content_of(item.content, f"{path}.content"))
    refuse_media(item.content, item.role, f"{path}.content")
    content = text_of(item.content)
    if item.role == "system":
        return SystemMessage(role="system", content=content)
    return DeveloperMessage(role="developer", content=content)


def _thought(item: PastReasoning, path: str) -> str:
    parts = item.content or item.summary
    if item.encrypted_content and not parts:
        param = f"{path}.encrypted_content"
        raise UnsupportedParameterError(f"'{param}' is not supported: nobody here can read it.", param=param)
    return "\n".join(part.text for part in parts)


def _call(item: PastFlatCall | PastFlatCustomCall) -> PastCall:
    if isinstance(item, PastFlatCustomCall):
        custom = CustomCall(name=joined_name(item.namespace, item.name), input=item.input)
        return PastCustomCall(id=item.call_id, type="custom", custom=custom)
    function = PastFunction(name=joined_name(item.namespace, item.name), arguments=item.arguments)
    return PastFunctionCall(id=item.call_id, type="function", function=function)
