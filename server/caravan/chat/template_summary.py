"""What is told of a model's chat template: what it supports by itself, and what is done about the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

from caravan.chat.families import ModelFamily
from caravan.chat.rendering.traits import (
    Beside,
    Calls,
    Detail,
    Instructions,
    Joining,
    Lone,
    NullContent,
    Traits,
)


@dataclass(frozen=True, kw_only=True)
class TemplateSummary:
    """True is what the template shows by itself; `adaptations` are what conversations are changed by else.

    `tool_format` is how calls are written; with `is_guess`, nothing tells whether this model writes them so.
    """

    system: bool
    developer: bool
    tools: bool
    tool_calls: bool
    parallel_tool_calls: bool
    tool_results: bool
    reasoning: bool
    continues_answers: bool
    adaptations: tuple[str, ...]
    tool_format: str | None
    is_guess: bool

    def lines(self) -> Iterator[tuple[str, str]]:
        """The same for people, with a label each."""
        shown = {
            "system": self.system,
            "developer": self.developer,
            "tools": self.tools,
            "calls": self.tool_calls,
            "parallel calls": self.parallel_tool_calls,
            "results": self.tool_results,
            "thoughts": self.reasoning,
        }
        yield "shows", ", ".join(name for name, is_shown in shown.items() if is_shown) or "plain messages"
        yield "tool calls", f"as {self.tool_format}" + (", which is a guess" if self.is_guess else "")
        for number, adaptation in enumerate(self.adaptations):
            yield "" if number else "adapted", adaptation


def summary(plain: Traits, with_tools: Traits, family: ModelFamily) -> TemplateSummary:
    """Of a template, and the one of requests with tools, which may be the same."""
    adaptations = dict.fromkeys((*_adaptations(plain), *_adaptations(with_tools)))
    return TemplateSummary(
        system=plain.system is not Instructions.USER,
        developer=plain.developer,
        tools=with_tools.tools_variable is not None,
        tool_calls=with_tools.calls is Calls.OWN,
        parallel_tool_calls=Calls.TEXT is not with_tools.calls and with_tools.parallel_calls is Calls.OWN,
        tool_results=with_tools.results,
        reasoning=with_tools.shows_thoughts or plain.shows_thoughts,
        continues_answers=plain.continues,
        adaptations=tuple(adaptations),
        tool_format=family.tools.name,
        is_guess=family.is_guess,
    )


def _adaptations(traits: Traits) -> Iterator[str]:
    """What is changed in conversations before the template sees them, in words."""
    for possible in (_of_instructions, _of_rows, _of_calls, _of_tools):
        yield from (words for applies, words in possible(traits) if applies)


def _of_instructions(traits: Traits) -> Iterator[tuple[bool, str]]:
    yield traits.system is Instructions.USER, "system messages are written into the user's first"
    yield traits.system is Instructions.LAST_USER, "system messages are written into the user's last"
    yield not traits.developer, "developer messages are given as system messages"
    yield traits.joins_leading is Joining.ALL, "leading system messages are joined"
    yield traits.joins_leading is Joining.MIXED, "leading system and developer messages are joined"
    yield traits.later_system is Instructions.USER, "later system messages are given as the user's"
    yield (
        traits.developer and traits.later_developer is Instructions.USER,
        "later developer messages are given as the user's",
    )


def _of_rows(traits: Traits) -> Iterator[tuple[bool, str]]:
    yield traits.joins_users, "user messages in a row are joined"
    yield traits.joins_assistants, "assistant messages in a row are joined"
    yield traits.starts_with_user, "an empty user message precedes an assistant's first"
    yield traits.lone is Lone.EMPTY_USER, "an empty user message is added where there is none"
    yield traits.lone is Lone.USER, "system messages alone are given as the user's"
    yield traits.takes_parts, "content is given in parts"


def _of_calls(traits: Traits) -> Iterator[tuple[bool, str]]:
    has_calls = traits.calls is not Calls.TEXT
    where_none = "where a request has no tools"
    yield traits.arguments_as_text, "arguments of calls are given as text"
    yield traits.call_id_length is not None, f"ids of calls are given with {traits.call_id_length} characters"
    yield traits.null_content is not NullContent.NULL, "content beside calls is never null"
    yield not has_calls, "calls are written into the content"
    yield (
        has_calls and traits.calls_without_tools is Calls.TEXT,
        f"calls are written into the content {where_none}",
    )
    yield has_calls and traits.parallel_calls is Calls.ONE_BY_ONE, "parallel calls are given one by one"
    yield has_calls and traits.parallel_calls is Calls.TEXT, "parallel calls are written into the content"
    own = (Beside.MESSAGE, Beside.MESSAGE_AND_USER)
    yield has_calls and traits.beside_calls in own, "content beside calls is given as a message before them"
    yield has_calls and traits.beside_calls is Beside.TEXT, "calls beside content are written into it"
    yield has_calls and traits.beside_calls is Beside.PLAN, "content beside calls is given as their plan"
    yield traits.empty_answer is not None, "an empty answer stands between results and a user message"
    yield not traits.results, "results are given as the user's"
    yield traits.results and not traits.results_without_tools, f"results are given as the user's {where_none}"


def _of_tools(traits: Traits) -> Iterator[tuple[bool, str]]:
    yield (
        traits.tools_variable is None,
        "a general prompt tells of tools",
    )
    yield traits.detail is Detail.DESCRIPTIONS, "tools without a description are given an empty one"
    yield (
        traits.detail in (Detail.TYPES, Detail.VALUES),
        "tools are given empty descriptions and plain types where they have none",
    )
