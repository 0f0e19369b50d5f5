"""What a proposer is, and what it hands out.

Nothing here depends on what a draft is used for: a proposer that is always wrong costs time and no more.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class DraftSource(StrEnum):
    """Where a draft comes from, the cheapest first."""

    PREDICTION = "prediction"
    NGRAM = "ngram"
    TREE = "tree"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens, at least one, that a sequence may go on with."""

    source: DraftSource
    token_ids: tuple[int, ...]


class Proposer(Protocol):
    """Guesses how one sequence's text goes on. Belongs to the engine's thread."""

    @property
    def source(self) -> DraftSource: ...

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        """Guess at most `most` tokens after `token_ids`, prompt and answer so far; none where it knows none.

        It is asked with one list that only grows, though not with each length of it.
        """
        ...
