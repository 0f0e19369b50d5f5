"""What a newcomer gets of the KV cache."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allocation:
    """A sequence id, and how many of the prompt's tokens its memory holds already, some of them fetched."""

    seq_id: int
    num_cached_tokens: int
    num_fetched_tokens: int = 0
