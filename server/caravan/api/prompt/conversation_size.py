"""How much work a conversation is, told before anything is made of it."""

from collections.abc import Sequence
from typing import Any

from caravan_schemas.chat import ConversationFields

from caravan.api.prompt.tokenize import LEAST_LONGEST, too_long
from caravan.chat.rendering.turns import Turn
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.sharing.fair_limiter import FairLimiter

# A template takes a tenth of a millisecond for each message, part or call, and milliseconds for this text.
_MOST_PIECES = 1024
_MOST_CHARACTERS = 1024 * 1024
# By these begin marks of thoughts, which templates leave out of earlier answers.
_MAYBE_MARKS = ("<", "[")


def is_long(request: ConversationFields) -> bool:
    """Whether others should not wait while its prompt is written. Stops counting when that is known."""
    num_pieces = num_characters = 0
    for message in request.messages:
        content: Any = message.content or ""
        calls = getattr(message, "tool_calls", None) or ()
        num_pieces += 1 + len(calls)
        texts = [content] if isinstance(content, str) else [getattr(part, "text", "") for part in content]
        num_pieces += len(texts) - 1
        num_characters += sum(len(text) for text in texts if isinstance(text, str))
        if num_pieces > _MOST_PIECES or num_characters > _MOST_CHARACTERS:
            return True
    return False


def threads_for(request: ConversationFields, model: LoadedModel, usual: FairLimiter) -> FairLimiter:
    """The places in which its prompt is written: long ones hold none of the `usual`, while they wait."""
    return model.long_threads if is_long(request) else usual


def refuse_hopeless(model: LoadedModel, turns: Sequence[Turn]) -> None:
    """Spare the template a conversation that cannot fit, by the least number of tokens that it can have.

    What a template trims or leaves out is not counted. Raises ContextLengthError.
    """
    num_bytes = num_texts = 0
    for turn in turns:
        text = (turn.content or "").strip()
        if text and not (turn.role == "assistant" and any(mark in text for mark in _MAYBE_MARKS)):
            num_bytes += len(text.encode("utf-8", "replace"))
            num_texts += 1
    # Templates put words or line ends between texts, so that each has a token of its own.
    least = max(num_texts, num_bytes // max(model.vocab.longest_token, LEAST_LONGEST))
    if least >= model.context_size:
        raise too_long(model, f"at least {least}", "messages")
