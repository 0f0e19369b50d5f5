"""What a chat's request has been read as before any grammar is compiled, and how its answer will be read."""

from dataclasses import dataclass
from functools import partial

from caravan.api.output.parsed_choice import OutputFormat
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.prompt.chat_prompt import Thinking
from caravan.api.prompt.media import Prompt
from caravan.api.prompt.tokenize import PromptRules
from caravan.api.prompt.tools import Choice, ToolRequest
from caravan.api.structured.checker import AnswerChecker
from caravan.api.structured.compiler import Compiled, answer_checker
from caravan.api.structured.tool_calls import BoundCalls
from caravan.models.loaded_model import LoadedModel


@dataclass(frozen=True)
class ReadChat:
    """What preparing a chat has found. With marks for images in its `text`, it has no tokens yet."""

    plan: DecodingPlan
    rules: PromptRules
    text: str
    token_ids: tuple[int, ...]
    tools: ToolRequest | None
    thinking: Thinking | None
    predicted_token_ids: tuple[int, ...]
    prompt: Prompt | None = None


def output_format_of(
    model: LoadedModel, read: ReadChat, calls: BoundCalls | None, *, is_bound: bool
) -> OutputFormat | None:
    """Say how the answer's text is read; None where all of it is content."""
    tools, thought = read.tools, read.thinking
    if tools is None and (thought is None or thought.is_content) and not model.family.is_framed:
        return None
    is_open = thought is not None and thought.is_open
    is_legacy = tools is not None and tools.is_legacy
    # As with OpenAI, a call that was asked for by name is no surprise, and the choice just stops.
    is_named = tools is not None and tools.choice is Choice.NAMED
    return OutputFormat(
        make_parser=partial(
            model.family.parser, () if calls is None else calls.specs, is_open=is_open, bound=is_bound
        ),
        custom_names=frozenset() if tools is None else tools.custom_names,
        call_reason="stop" if is_named else "function_call" if is_legacy else "tool_calls",
        is_parallel=tools is None or tools.is_parallel,
        is_legacy=is_legacy,
        thought_markers=(thought.markers.start, thought.markers.end)
        if thought and thought.is_content
        else None,
        is_open=is_open,
    )


def checker_of(
    read: ReadChat, compiled: Compiled | None, calls: BoundCalls | None, *, is_trimmed: bool
) -> AnswerChecker | None:
    """Make the check of answers and calls; None where nothing is asked of them."""
    if compiled is None and calls is None:
        return None
    # A thought that stays in the content would not stand up to it.
    of_content = None if read.thinking and read.thinking.is_content else compiled
    of_calls = None if calls is None else calls.checks
    return answer_checker(of_content, read.plan.params, of_calls, is_trimmed=is_trimmed)
