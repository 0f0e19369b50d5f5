"""What a text so far does to a row of logits, by definition: rules, penalties and DRY."""

import numpy as np
from caravan.engine.params import SamplingParams

from tests.engine.sampling.reference import Row


def penalise(logits: Row, text: list[int], params: SamplingParams) -> Row:
    """Repeat, frequency and presence penalty for every token in the window."""
    changed = logits.copy()
    window = params.repeat_last_n
    if window == 0:
        return changed
    recent = text[-window:] if window > 0 else text
    for token in set(recent):
        seen = changed[token]
        seen = seen / params.repeat_penalty if seen > 0 else seen * params.repeat_penalty
        changed[token] = seen - recent.count(token) * params.frequency_penalty - params.presence_penalty
    return changed


def restrict(logits: Row, text: list[int], num_drawn: int, params: SamplingParams, end_ids: set[int]) -> Row:
    """Bias, then what may not come at all."""
    changed = logits.copy()
    for token, bias in params.logit_bias:
        changed[token] += bias
    for token in range(len(changed)):
        allowed = params.allowed_token_ids is None or token in params.allowed_token_ids
        ends_early = token in end_ids | set(params.stop_token_ids) and num_drawn < params.min_tokens
        if not allowed or ends_early or (params.ignore_eos and token in end_ids):
            changed[token] = -np.inf
    for *before, last in params.bad_words:
        if text[len(text) - len(before) :] == before:
            changed[last] = -np.inf
    return changed


def dry(logits: Row, text: list[int], params: SamplingParams) -> Row:
    """For each token the longest end of the text that it followed before, by comparing everything."""
    changed = logits.copy()
    window = params.dry_penalty_last_n
    if window == 0:
        return changed
    recent = text[-window:] if window > 0 else text
    limit = _since_breaker(recent, params.dry_breakers)
    single = {breaker[0] for breaker in params.dry_breakers if len(breaker) == 1}
    longest: dict[int, int] = {}
    for place, token in enumerate(recent):
        length = 0
        while length < min(place, limit) and recent[place - 1 - length] == recent[-1 - length]:
            length += 1
        longest[token] = max(longest.get(token, 0), length)
    for token, length in longest.items():
        if length >= max(params.dry_allowed_length, 1) and token not in single:
            changed[token] -= params.dry_multiplier * params.dry_base ** (length - params.dry_allowed_length)
    return changed


def _since_breaker(recent: list[int], breakers: tuple[tuple[int, ...], ...]) -> int:
    """How many tokens come after the last breaker that is complete."""
    for length in range(len(recent) + 1):
        end = len(recent) - length
        if any(tuple(recent[max(end - len(b), 0) : end]) == b for b in breakers):
            return length
    return len(recent)
