"""`truncation: auto`: a conversation that is too long for the model loses its oldest items, whole ones.

What goes ends at a multiple of some bytes from the beginning, so that the next turns of a conversation begin
where this one does, and find its prefix computed.
"""

import itertools
from collections.abc import Awaitable, Callable, Sequence

from caravan_schemas.responses_items import (
    AdditionalTools,
    Compaction,
    FlatCallOutput,
    FlatCustomCallOutput,
    InputMessage,
    Item,
    PastFlatCall,
    PastFlatCustomCall,
    PastReasoning,
)

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.prompt.chat_prompt import is_shown
from caravan.api.prompt.media import MOST_INPUTS
from caravan.api.prompt.tokenize import LEAST_LONGEST
from caravan.api.responses.content import num_media, text_of
from caravan.api.responses.conversation import Placed, is_instruction, is_of_user
from caravan.api.responses.to_chat import Translation
from caravan.api.validation.rewording import rewording
from caravan.errors import ContextLengthError
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread

TRUNCATED = "x-caravan-truncated"
# The part of the context that is left free for an answer that has no limit, and the most for one that has.
_USUAL_ROOM = 8
_MOST_ROOM = 2
# Texts have some bytes a token, so that a step is an eighth of the context, about.
_STEPS = 2
# What chat templates write around a message, in bytes, about.
_FRAME = 16
# As many bytes as have the tokens of an image, about.
_IMAGE = 1024

Translate = Callable[[Sequence[Placed]], Translation]


async def fitting(
    items: Sequence[Placed],
    translated: Translate,
    chat: ChatService,
    context: RequestContext,
    model: LoadedModel,
) -> tuple[Translation, Sequence[Placed]]:
    """Find the most items that leave room for an answer, without as many of the oldest as need be.

    Returns these, too. Instructions, tools, the last summary and the last that the user says stay, however
    long they are.
    """
    size = model.context_size
    oldest, cuts = await in_busy_thread(_cuts, items, model)

    async def cut(place: int) -> tuple[Translation, Sequence[Placed]]:
        rest = await in_busy_thread(_without, items, oldest[: cuts[place]])
        return await in_busy_thread(translated, rest), rest

    async def fits(place: int) -> bool:
        translation, _ = await cut(place)
        limit = translation.chat.max_completion_tokens or 0
        room = min(limit, size // _MOST_ROOM) if limit > 0 else size // _USUAL_ROOM
        try:
            with rewording(translation.named):
                return await chat.num_prompt_tokens(translation.chat, context, model) <= size - room
        except ContextLengthError:
            return False

    # Most often, nothing has to go.
    may_stay = cuts[0] == 0
    if may_stay and await fits(0):
        return await cut(0)
    return await cut(await _first(min(int(may_stay), len(cuts) - 1), len(cuts) - 1, fits))


def tell_truncated(context: RequestContext, num_items: int) -> None:
    """Tell the client how many items the model does not see."""
    if num_items:
        context.metrics.note(TRUNCATED, [str(num_items)])


async def _first(low: int, high: int, fits: Callable[[int], Awaitable[bool]]) -> int:
    """Find the first that fits; the last where none does.

    It begins at the end, where little is left: what is tried is seldom much longer than what fits.
    """
    step, is_far = 1, True
    while low < high:
        middle = max(low, high - step) if is_far else (low + high) // 2
        if await fits(middle):
            high, step = middle, 2 * step
        else:
            low, is_far = middle + 1, False
    return high


def _oldest(items: Sequence[Placed]) -> list[int]:
    """The indexes of what may go, the oldest first: not the instructions that come first, tools, the last
    summary, and the last that the user says.
    """
    first = next((i for i, placed in enumerate(items) if not is_instruction(placed.item)), len(items))
    asked = max((i for i, placed in enumerate(items) if is_of_user(placed.item)), default=-1)
    summed = max((i for i, placed in enumerate(items) if isinstance(placed.item, Compaction)), default=-1)
    lasting = {i for i, placed in enumerate(items) if isinstance(placed.item, AdditionalTools)}
    lasting |= {asked, summed}
    return [i for i in range(first, len(items)) if i not in lasting]


def _cuts(items: Sequence[Placed], model: LoadedModel) -> tuple[list[int], list[int]]:
    """The indexes of what may go, and how many of them to try to leave out: those with which a multiple of
    some bytes is passed, unless it is plain that what is left is too much, and all of them.
    """
    oldest = _oldest(items)
    step = max(1, model.context_size // _STEPS)
    gone = list(itertools.accumulate((_FRAME + _size(items[index].item) for index in oldest), initial=0))
    cuts = [place for place in range(1, len(gone)) if gone[place] // step > gone[place - 1] // step]
    # Any template shows what is said, and has a token for it at the least.
    said = [len(_shown(items[index].item)) for index in oldest]
    num_said = list(itertools.accumulate(map(bool, said), initial=0))
    size_said = list(itertools.accumulate(said, initial=0))
    longest = max(model.vocab.longest_token, LEAST_LONGEST)
    seen = list(itertools.accumulate((_num_media(items[index].item) for index in oldest), initial=0))
    num_lasting = sum(_num_media(placed.item) for placed in items) - seen[-1]

    def can_fit(cut: int) -> bool:
        if num_lasting + seen[-1] - seen[cut] > MOST_INPUTS:
            return False
        least = max(num_said[-1] - num_said[cut], (size_said[-1] - size_said[cut]) // longest)
        return least < model.context_size

    return oldest, [cut for cut in dict.fromkeys([0, *cuts]) if can_fit(cut)] + [len(oldest)]


def _without(items: Sequence[Placed], gone: Sequence[int]) -> list[Placed]:
    """The items without some; where a call goes, its result goes, and the other way round."""
    calls = {_call_id(items[index].item) for index in gone} - {None}
    absent = set(gone)
    left = [placed for index, placed in enumerate(items) if index not in absent]
    return [placed for placed in left if _call_id(placed.item) not in calls] if calls else left


def _shown(item: Item) -> str:
    """The text of what is said, without what a template may leave out."""
    if not isinstance(item, InputMessage) or item.role not in ("user", "assistant"):
        return ""
    text = text_of(item.content).strip()
    return text if is_shown(item.role, text) else ""


def _call_id(item: Item) -> str | None:
    return getattr(item, "call_id", None)


def _size(item: Item) -> int:
    """Count the bytes of what the model reads of an item, about."""
    match item:
        case InputMessage():
            return len(text_of(item.content)) + _IMAGE * _num_media(item)
        case FlatCallOutput() | FlatCustomCallOutput():
            return len(text_of(item.output)) + _IMAGE * _num_media(item)
        case PastFlatCall():
            return len(item.arguments)
        case PastFlatCustomCall():
            return len(item.input)
        case PastReasoning():
            return sum(len(part.text) for part in item.content or item.summary)
        case Compaction():
            return len(item.encrypted_content)
    return 0


def _num_media(item: Item) -> int:
    """Count the images and sounds of an item."""
    match item:
        case InputMessage():
            return num_media(item.content)
        case FlatCallOutput() | FlatCustomCallOutput():
            return num_media(item.output)
    return 0
