"""What has been told of a request, so that another engine can go on with it and nothing is told twice."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest


@dataclass
class _Told:
    """What the client has of one choice."""

    token_ids: list[int] = field(default_factory=list)
    num_characters: int = 0
    num_logprobs: int = 0
    num_traces: int = 0
    has_prompt_logprobs: bool = False
    has_begun: bool = False
    has_ended: bool = False
    num_cached_tokens: int | None = None

    def note(self, output: TokenOutput) -> None:
        self.token_ids += output.token_ids
        self.num_characters += len(output.text)
        self.num_logprobs += len(output.logprobs)
        self.num_traces += len(output.traces)
        self.has_prompt_logprobs |= bool(output.prompt_logprobs)
        self.has_begun = True
        self.has_ended |= output.finish_reason is not None
        if self.num_cached_tokens is None:
            self.num_cached_tokens = output.num_cached_tokens


class Handover:
    """One request, from engine to engine. `request` is what the engine of the moment is sent.

    A request without a seed gets one, or a second engine would draw another text. What tells of single tokens
    has more of them than their ids, so that such an answer is drawn anew from its beginning, and what has
    been told is left out; all others go on from the tokens that are told.
    """

    def __init__(self, wanted: GenerationRequest) -> None:
        self._tells_token_ids = wanted.tells_token_ids
        seed = secrets.randbits(32) if wanted.params.seed is None else wanted.params.seed
        params = msgspec.structs.replace(wanted.params, seed=seed)
        self.request = msgspec.structs.replace(wanted, params=params, tells_token_ids=True)
        self._begun = time.monotonic()
        self._max_seconds = wanted.params.max_seconds
        self._told = [_Told() for _ in range(wanted.n)]
        # How much of what comes has been told by another engine.
        self._again: list[_Told] | None = None
        self._is_handed_over = False

    def hand_over(self) -> None:
        """Have `request` be what another engine is sent."""
        self._is_handed_over = True
        if self._max_seconds is not None:
            left = max(0.001, self._max_seconds - (time.monotonic() - self._begun))
            params = msgspec.structs.replace(self.request.params, max_seconds=left)
            self.request = msgspec.structs.replace(self.request, params=params)
        if _tells_of_tokens(self.request):
            self._again = self._told
            self._told = [_Told() for _ in self._told]
            return
        drawn = tuple(None if told.has_ended else tuple(told.token_ids) for told in self._told)
        self.request = msgspec.structs.replace(self.request, drawn=drawn)

    def take(self, output: TokenOutput) -> TokenOutput | None:
        """Note an output; it as the client gets it, or None where the client has all of it."""
        if output.progress is not None:
            return None if self._is_handed_over else output
        told = self._told[output.index]
        is_first = not told.has_begun and (self._again is None or not self._again[output.index].has_begun)
        told.note(output)
        changes: dict[str, Any] = {} if self._tells_token_ids else {"token_ids": ()}
        if self._is_handed_over:
            changes["num_cached_tokens"] = told.num_cached_tokens
        if not is_first:
            changes["queue_seconds"] = None
        if self._again is None:
            return msgspec.structs.replace(output, **changes)
        return self._unknown(output, self._again[output.index], changes)

    def _unknown(self, output: TokenOutput, known: _Told, changes: dict[str, Any]) -> TokenOutput | None:
        """The part of an output that has not been told by another engine."""
        told = self._told[output.index]
        if known.has_ended:
            return None
        news = msgspec.structs.replace(
            output,
            **changes
            | {
                "text": _rest(output.text, told.num_characters - known.num_characters),
                "logprobs": _rest(output.logprobs, told.num_logprobs - known.num_logprobs),
                "traces": _rest(output.traces, told.num_traces - known.num_traces),
                "prompt_logprobs": () if known.has_prompt_logprobs else output.prompt_logprobs,
                "num_cached_tokens": known.num_cached_tokens if known.has_begun else told.num_cached_tokens,
            },
        )
        if self._tells_token_ids:
            num_new = len(told.token_ids) - len(known.token_ids)
            news = msgspec.structs.replace(news, token_ids=_rest(output.token_ids, num_new))
        is_news = news.text or news.logprobs or news.traces or news.prompt_logprobs or news.token_ids
        return news if is_news or news.finish_reason is not None else None


def _tells_of_tokens(request: GenerationRequest) -> bool:
    of_answer = request.params.num_logprobs is not None or request.params.score
    of_prompt = request.num_prompt_logprobs is not None or bool(request.probes)
    return of_answer or of_prompt or request.num_traced is not None


def _rest(values: Any, num_new: int) -> Any:  # noqa: ANN401 (a text or a tuple)
    """The last `num_new` of them; none where that is negative."""
    return values[len(values) - min(num_new, len(values)) :] if num_new > 0 else values[:0]
