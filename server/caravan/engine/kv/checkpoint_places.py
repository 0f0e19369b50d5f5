"""Where in a prompt checkpoints are taken: where others are likely to go another way."""

from collections.abc import Collection, Sequence

from caravan.engine.media.keys import is_last, is_media

# Fewer tokens than this are computed again as quickly as a step that stops for them.
LEAST_TOKENS = 16
# In a long conversation that is new, turns between the first and the last are passed by for so many tokens:
# a stop costs a step, and those who come back go on at the end.
_TOKENS_BETWEEN = 512


def turn_ends(token_ids: Sequence[int], end_ids: Collection[int], start: int) -> list[int]:
    """List how many tokens there are up to the end of each turn after `start`, by the tokens that end one.

    The first of a prompt mostly ends its instructions and tools, and the last is that of its last message.
    """
    ends = [place for place, token_id in enumerate(token_ids, 1) if token_id in end_ids and place > start]
    return _thinned([place for place in ends if place < len(token_ids)], start)


def media_ends(cells: Sequence[int], start: int) -> list[int]:
    """List how many cells there are up to the end of each image after `start`: the next who has one may ask
    something else about it.
    """
    if not is_media(max(cells, default=0)):
        return []
    return [place for place, cell in enumerate(cells, 1) if place > start and is_last(cell)]


def _thinned(places: list[int], start: int) -> list[int]:
    kept: list[int] = []
    for number, place in enumerate(places):
        is_between = bool(kept) and number < len(places) - 1
        if place - (kept[-1] if kept else start) >= (_TOKENS_BETWEEN if is_between else LEAST_TOKENS):
            kept.append(place)
    return kept
