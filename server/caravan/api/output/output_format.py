"""How the text of a request's answers is to be read."""

from collections.abc import Callable
from dataclasses import dataclass

from caravan_schemas.chat import ChatFinishReason

from caravan.chat.parsing.events import StreamParser


@dataclass(frozen=True, kw_only=True)
class OutputFormat:
    """`make_parser` gives each choice its own. Unless `is_parallel`, calls after the first are left out.

    `call_reason` is the finish reason of a choice with calls, which `is_legacy` has written in their older
    form. With `thought_markers`, the thought stays in the content between these; `is_open` where the prompt
    has the first of them.
    """

    make_parser: Callable[[], StreamParser]
    custom_names: frozenset[str] = frozenset()
    call_reason: ChatFinishReason = "tool_calls"
    is_parallel: bool = True
    is_legacy: bool = False
    thought_markers: tuple[str, str] | None = None
    is_open: bool = False

    def reason(self, reason: ChatFinishReason, *, has_whole_calls: bool) -> ChatFinishReason:
        """Why a choice ended, in OpenAI's words for one with calls or without; one cut off is none."""
        return self.call_reason if has_whole_calls and reason == "stop" else reason
