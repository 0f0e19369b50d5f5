"""What a chat template shows of a conversation, and how one has to be written for it to be shown."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JsonValue = str | int | bool | None | list[str]


class NoTools(StrEnum):
    """What the variable for tools is where a request has none."""

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
    """What becomes of a conversation without any user message."""

    AS_IT_IS = "as it is"
    EMPTY_USER = "empty user"
    USER = "user"


class NullContent(StrEnum):
    """What stands for content beside calls where there is none."""

    NULL = "null"
    EMPTY = "empty"
    ABSENT = "absent"


class Calls(StrEnum):
    """How the calls of an earlier message are given: as calls, one by one, or written into the content."""

    OWN = "own"
    ONE_BY_ONE = "one by one"
    TEXT = "text"


class Beside(StrEnum):
    """Where the content of a message with calls goes."""

    CONTENT = "content"
    PLAN = "tool_plan"
    MESSAGE = "message"
    MESSAGE_AND_USER = "message and user"
    TEXT = "text"


class Detail(StrEnum):
    """What is added to tools that leave it out; types are made plain ones."""

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

    def shown(self) -> Mapping[str, JsonValue]:
        """What the template supports by itself, and what is done about the rest."""
        return {
            "system": self.system is not Instructions.USER,
            "developer": self.developer,
            "tools": self.tools_variable is not None,
            "tool_calls": self.calls is not Calls.TEXT,
            "parallel_tool_calls": self.parallel_calls is Calls.OWN,
            "tool_results": self.results,
            "reasoning": self.shows_thoughts,
            "continues_answers": self.continues,
            "adaptations": list(self.adaptations()),
        }

    def adaptations(self) -> Iterator[str]:
        """What is changed in conversations before this template sees them, in words."""
        yield from (words for applies, words in self._possible() if applies)

    def _possible(self) -> Iterator[tuple[bool, str]]:
        yield self.system is Instructions.USER, "system messages are written into the user's"
        yield self.system is Instructions.LAST_USER, "system messages are written into the user's last"
        yield not self.developer, "developer messages are given as system messages"
        yield self.joins_leading is Joining.ALL, "leading system messages are joined"
        yield self.joins_leading is Joining.MIXED, "leading system and developer messages are joined"
        yield self.later_system is Instructions.USER, "later system messages are given as the user's"
        yield (
            self.developer and self.later_developer is Instructions.USER,
            "later developer messages are given as the user's",
        )
        yield self.joins_users, "user messages in a row are joined"
        yield self.joins_assistants, "assistant messages in a row are joined"
        yield self.starts_with_user, "an empty user message precedes an assistant's first"
        yield self.lone is Lone.EMPTY_USER, "an empty user message is added where there is none"
        yield self.lone is Lone.USER, "system messages alone are given as the user's"
        yield self.takes_parts, "content is given in parts"
        yield from self._possible_of_calls()

    def _possible_of_calls(self) -> Iterator[tuple[bool, str]]:
        yield self.arguments_as_text, "arguments of calls are given as text"
        yield self.call_id_length is not None, f"ids of calls have {self.call_id_length} characters"
        yield self.null_content is not NullContent.NULL, "content beside calls is never null"
        yield self.calls is Calls.TEXT, "calls are written into the content"
        yield (
            self.calls is not Calls.TEXT and self.calls_without_tools is Calls.TEXT,
            "calls are written into the content where a request has no tools",
        )
        yield (
            self.parallel_calls is Calls.ONE_BY_ONE,
            "parallel calls are given one by one",
        )
        yield (
            self.calls is not Calls.TEXT and self.parallel_calls is Calls.TEXT,
            "parallel calls are written into the content",
        )
        yield (
            self.beside_calls in (Beside.MESSAGE, Beside.MESSAGE_AND_USER),
            "content beside calls is given as a message of its own",
        )
        yield self.beside_calls is Beside.MESSAGE_AND_USER, "an empty user message parts content from calls"
        yield self.beside_calls is Beside.TEXT, "calls beside content are written into it"
        yield self.beside_calls is Beside.PLAN, "content beside calls is given as their plan"
        yield self.empty_answer is not None, "an empty answer stands between results and a user message"
        yield not self.results, "results are given as the user's"
        yield (
            self.results and not self.results_without_tools,
            "results are given as the user's where a request has no tools",
        )
        yield self.tools_variable is None, "tools are written into the system message"
        yield self.detail is not Detail.NONE, f"tools are given {self.detail.value} where they have none"
