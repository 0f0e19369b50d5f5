"""Items into the messages of a chat: what belongs to one turn of the model becomes one message."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from caravan_schemas.messages import (
    AssistantMessage,
    DeveloperMessage,
    Message,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from caravan_schemas.responses_items import (
    CallOutput,
    FlatCallOutput,
    FlatCustomCallOutput,
    InputMessage,
    Item,
    ItemReference,
    MessageContent,
    PastFlatCall,
    PastFlatCustomCall,
    PastReasoning,
    PastRefusal,
)
from caravan_schemas.tools import CustomCall, PastCall, PastCustomCall, PastFunction, PastFunctionCall

from caravan.errors import InvalidValueError, UnsupportedParameterError

# Where an item is that came with an earlier response.
HISTORY = "previous_response_id"


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


def conversation(instructions: str | None, items: Sequence[Placed]) -> tuple[list[Message], dict[str, str]]:
    """The messages that items stand for, and which item each message, or call in it, comes from, by paths.

    The instructions come first; a system message that the items begin with is joined to them. Results follow
    their calls, wherever they came. Raises InvalidRequestError for a call without a result, a
    result without a call, and thoughts that only OpenAI can read.
    """
    writer = _Writer(_results(items))
    if instructions is not None and not _opens_with_instructions(items):
        writer.add(Placed("instructions", InputMessage(role="system", content=instructions)))
        instructions = None
    for placed in items:
        writer.add(placed)
    writer.end()
    if instructions is not None:
        first = writer.messages[0]
        assert isinstance(first, SystemMessage | DeveloperMessage)
        first.content = f"{instructions}\n\n{first.content}"
    return writer.messages, writer.places


def _opens_with_instructions(items: Sequence[Placed]) -> bool:
    first = items[0].item if items else None
    return isinstance(first, InputMessage) and first.role in ("system", "developer")


class _Writer:
    def __init__(self, results: dict[str, Placed]) -> None:
        self.messages: list[Message] = []
        self.places: dict[str, str] = {}
        self._results = results
        self._turn: _Turn | None = None

    def add(self, placed: Placed) -> None:
        """Take the next item in."""
        item, path = placed.item, placed.path
        match item:
            case InputMessage(role="assistant"):
                self._spoken(path, is_first=True).content = text_of(item.content)
            case InputMessage():
                self._flush()
                self._append(path, _message(item))
            case PastReasoning():
                self._spoken(path, is_first=True).thoughts.append(_thought(item, path))
            case PastFlatCall() | PastFlatCustomCall():
                # A call that broke off was never made.
                if item.status != "incomplete" or item.call_id in self._results:
                    self._spoken(path).calls.append((path, _call(item)))
            case FlatCallOutput() | FlatCustomCallOutput():
                self._flush()
            case ItemReference():
                raise AssertionError("references have been resolved")

    def end(self) -> None:
        """There are no more items."""
        self._flush()
        for placed in self._results.values():
            path = placed.path if placed.path == HISTORY else f"{placed.path}.call_id"
            raise InvalidValueError(path, "names no call of this conversation that waits for a result")

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
        message = AssistantMessage(role="assistant", content=content)
        message.reasoning_content = "\n".join(turn.thoughts) or None
        message.tool_calls = [call for _, call in turn.calls] or None
        self._append(turn.path, message)
        for path, call in turn.calls:
            self._answer(path, call)

    def _answer(self, path: str, call: PastCall) -> None:
        result = self._results.pop(call.id, None)
        if result is None:
            name = call.function.name if isinstance(call, PastFunctionCall) else call.custom.name
            where = "input" if path == HISTORY else path
            raise InvalidValueError(
                where, f"has no result for the call '{call.id}' of '{name}': 'input' must have it"
            )
        assert isinstance(result.item, FlatCallOutput | FlatCustomCallOutput)
        content = text_of(result.item.output)
        self._append(result.path, ToolMessage(role="tool", content=content, tool_call_id=call.id))

    def _append(self, path: str, message: Message) -> None:
        self.places[f"messages[{len(self.messages)}]"] = path
        self.messages.append(message)


def text_of(content: MessageContent | CallOutput) -> str:
    """The text of a message or a result; parts follow each other as they are."""
    if isinstance(content, str):
        return content
    return "".join(part.refusal if isinstance(part, PastRefusal) else part.text for part in content)


def _results(items: Sequence[Placed]) -> dict[str, Placed]:
    results: dict[str, Placed] = {}
    for placed in items:
        if isinstance(placed.item, FlatCallOutput | FlatCustomCallOutput):
            if placed.item.call_id in results:
                raise InvalidValueError(f"{placed.path}.call_id", "names a call that has a result already")
            results[placed.item.call_id] = placed
    return results


def _message(item: InputMessage) -> Message:
    content = text_of(item.content)
    match item.role:
        case "system":
            return SystemMessage(role="system", content=content)
        case "developer":
            return DeveloperMessage(role="developer", content=content)
    return UserMessage(role="user", content=content)


def _thought(item: PastReasoning, path: str) -> str:
    parts = item.content or item.summary
    if item.encrypted_content and not parts:
        param = f"{path}.encrypted_content"
        raise UnsupportedParameterError(f"'{param}' is not supported: nobody here can read it.", param=param)
    return "\n".join(part.text for part in parts)


def _call(item: PastFlatCall | PastFlatCustomCall) -> PastCall:
    if isinstance(item, PastFlatCustomCall):
        custom = CustomCall(name=item.name, input=item.input)
        return PastCustomCall(id=item.call_id, type="custom", custom=custom)
    function = PastFunction(name=item.name, arguments=item.arguments)
    return PastFunctionCall(id=item.call_id, type="function", function=function)
