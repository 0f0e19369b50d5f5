"""Frozen values that go into the engine; they cross the process border as MessagePack."""

import msgspec


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How one choice is drawn and when it ends. Values arrive checked; the engine does not repair them.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch their filter off.
    `seed` None draws a fresh seed; choice i of a seeded request uses `seed + i`.
    `max_tokens` None means "until the context is full".
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and what to do with it. `id` is unique among the requests an engine knows.

    `token_ids` is not empty, every id is in the vocabulary, and it is shorter than the context.
    `n` choices are drawn from the one prompt, computed once. `cache_salt` separates prefix caches:
    a prefix is only ever shared among requests with an equal salt.
    """

    id: str
    token_ids: tuple[int, ...]
    params: SamplingParams
    n: int = 1
    cache_salt: str = ""
