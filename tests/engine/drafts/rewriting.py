"""What a proposer is worth over a text that is known beforehand: as many tokens a step as it is right."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from caravan.engine.drafts.proposer import Proposer

# Words, spaces and signs, about as tokenizers cut them.
_TOKEN = re.compile(r" ?\w{1,7}|\s+|[^\w\s]{1,3}")


@dataclass
class Gain:
    """Tokens of the answer, those of drafts that were right, those drafted, and steps."""

    num_tokens: int = 0
    num_accepted: int = 0
    num_drafted: int = 0
    num_steps: int = 0

    @property
    def share(self) -> float:
        """Of the answer's tokens, those that were drafted."""
        return self.num_accepted / self.num_tokens


class Words:
    """A vocabulary of words that is made as texts come."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def read(self, text: str) -> list[int]:
        """Cut a text into tokens."""
        pieces = _TOKEN.findall(text)
        assert "".join(pieces) == text
        return [self._ids.setdefault(piece, len(self._ids)) for piece in pieces]

    def token_bytes(self, token_id: int) -> bytes:
        """The text of a token."""
        return list(self._ids)[token_id].encode()


def replay(
    proposer: Proposer,
    prompt: list[int],
    answer: list[int],
    most: int,
    each: Callable[[int], None] | None = None,
) -> Gain:
    """Have the answer drawn step by step, with what the proposer guesses before each."""
    gain, token_ids, place = Gain(len(answer)), list(prompt), 0
    while place < len(answer):
        draft = proposer.propose(token_ids, min(most, len(answer) - place - 1))
        wanted = answer[place:]
        num_right = 0
        while num_right < len(draft) and draft[num_right] == wanted[num_right]:
            num_right += 1
        gain.num_steps += 1
        gain.num_drafted += len(draft)
        gain.num_accepted += num_right
        token_ids += wanted[: num_right + 1]
        place += num_right + 1
        if each is not None:
            each(place)
    return gain
