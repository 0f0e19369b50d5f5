"""What a chat template shows of a conversation, and how one has to be written for it to be shown."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class NoTools(StrEnum):
    """The value of the variable for tools in a request without tools."""

    NONE = "none"
    EMPTY = "empty"
    UNDEFINED = "undefined"


class Instructions(StrEnum):
    """How a system message is given: as one, or in the user's first message or last."""

    OWN = "own"
    USER = "user"
    LAST_USER = "last user"


class Joining(StrEnum):
    """Which leading messages of system and developer are joined into one."""

    NO = "no"
    MIXED = "mixed"
    ALL = "all"


class Lone(StrEnum):
    """How a conversation without any user message is given."""

    AS_IT_IS = "as it is"
    EMPTY_USER = "empty user"
    USER = "user"


class NullContent(StrEnum):
    """The content of a message that has calls and no text."""

    NULL = "null"
    EMPTY = "empty"
    ABSENT = "absent"


class Calls(StrEnum):
    """How the calls of an earlier message are given: as calls, one by one, or written into the content."""

    OWN = "own"
    ONE_BY_ONE = "one by one"
    TEXT = "text"


class Beside(StrEnum):
    """How the text of a message with calls is given."""

    CONTENT = "content"
    PLAN = "tool_plan"
    MESSAGE = "message"
    MESSAGE_AND_USER = "message and user"
    TEXT = "text"


class Detail(StrEnum):
    """What is added to tools that lack it: descriptions, and a plain type for each parameter or value."""

    NONE = "none"
    DESCRIPTIONS = "descriptions"
    TYPES = "types"
    VALUES = "types of all values"


@dataclass(frozen=True, kw_only=True)
class Traits:
    """How conversations are adapted to one template. The defaults adapt nothing.

    `tools_variable` is None where the template has no place for tools. `empty_answer` is what stands between
    results and a user message, `thought` what a thought's field is called.
    """

    no_tools: NoTools = NoTools.NONE
    tools_variable: str | None = "tools"
    tools_as_text: bool = False
    detail: Detail = Detail.NONE
    needs_date: bool = False
    takes_parts: bool = False
    system: Instructions = Instructions.OWN
    developer: bool = True
    joins_leading: Joining = Joining.NO
    later_system: Instructions = Instructions.OWN
    later_developer: Instructions = Instructions.OWN
    joins_users: bool = False
    joins_assistants: bool = False
    starts_with_user: bool = False
    lone: Lone = Lone.AS_IT_IS
    arguments_as_text: bool = False
    call_id_length: int | None = None
    null_content: NullContent = NullContent.NULL
    calls: Calls = Calls.OWN
    calls_without_tools: Calls = Calls.OWN
    parallel_calls: Calls = Calls.OWN
    beside_calls: Beside = Beside.CONTENT
    results: bool = True
    results_without_tools: bool = True
    empty_answer: str | None = None
    thought: str = "reasoning_content"
    shows_thoughts: bool = False
    thought_beside_content: bool = True
    continues: bool = True

    def to_json(self) -> dict[str, Any]:
        """The traits as a plain value."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Traits":
        """The traits that `to_json` made a plain value of, perhaps by way of JSON."""
        read = dict(values)
        for field in dataclasses.fields(cls):
            if isinstance(field.default, StrEnum):
                read[field.name] = type(field.default)(values[field.name])
        return cls(**read)
