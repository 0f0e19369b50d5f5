"""Writes explanations as JSON, a step at a time: one call into C that writes all of it would hold the
interpreter's lock for tenths of a second.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
from caravan_schemas.common import FinishReason, Usage

from caravan.api.explain.variants import PlannedVariant
from caravan.engine.outputs import FinishReason as EngineFinishReason
from caravan.engine.outputs import StageTrace, StepTrace, TokenOutput, unpacked_top
from caravan.engine.params import GenerationRequest
from caravan.models.loaded_model import LoadedModel, TextVocab

_BIT = math.log(2)


class _Candidate(msgspec.Struct):
    """`caravan_schemas.explanations.Candidate`, made and written in a fraction of the time."""

    id: int
    text: str
    logit: float
    probability: float


@dataclass
class DrawnVariant:
    """What has come of a variant: its text so far, its steps, and its last output."""

    plan: PlannedVariant
    texts: list[str] = field(default_factory=list)
    steps: list[StepTrace] = field(default_factory=list)
    last: TokenOutput | None = None

    def add(self, output: TokenOutput) -> None:
        """Take the next output."""
        self.texts.append(output.text)
        self.steps += output.traces
        self.last = output


class ExplanationWriter:
    """Writes one answer, to `request` and its like; `created` is when, in seconds since 1970."""

    def __init__(self, request: GenerationRequest, model: LoadedModel, created: int) -> None:
        self._request = request
        self._model = model
        self._created = created
        self._texts = _Texts(model.vocab)

    def pieces(self, drawn: Sequence[DrawnVariant], usage: Usage) -> Iterator[bytes]:
        """Yield the document, and forget the steps as they are written."""
        head = {
            "id": self._request.id,
            "object": "decoding.explanation",
            "created": self._created,
            "model": self._model.id,
            "prompt_tokens": len(self._request.token_ids) - self._request.num_continued,
            "cached_tokens": usage.prompt_tokens_details.cached_tokens,
            "continued_tokens": self._request.num_continued,
        }
        yield msgspec.json.encode(head)[:-1]
        for index, variant in enumerate(drawn):
            yield b"," if index else b',"variants":['
            yield from self._variant(index, variant)
        yield b'],"usage":' + usage.model_dump_json().encode() + b"}"

    def _variant(self, index: int, variant: DrawnVariant) -> Iterator[bytes]:
        seen = {stage.name for step in variant.steps for stage in step.stages}
        head = {
            "index": index,
            "parameters": variant.plan.parameters,
            "stages": [name for name in variant.plan.stages if name in seen],
            "text": "".join(variant.texts),
            "finish_reason": self._reason(variant),
        }
        yield msgspec.json.encode(head)[:-1]
        yield b',"steps":['
        steps = variant.steps[::-1]
        variant.steps.clear()
        first = position = len(self._request.token_ids)
        while steps:
            yield b"," if position > first else b""
            yield msgspec.json.encode(self._step(steps.pop(), position))
            position += 1
        yield b"]}"

    def _reason(self, variant: DrawnVariant) -> FinishReason | None:
        """Say why a text ended; None where only the steps were used up."""
        if variant.last is None or variant.last.finish_reason is not EngineFinishReason.LENGTH:
            return "stop"
        num_drawn, plan = len(variant.steps), variant.plan
        is_at_limit = plan.limit is not None and self._request.num_continued + num_drawn >= plan.limit
        is_full = len(self._request.token_ids) + num_drawn >= self._model.context_size
        are_used_up = num_drawn == plan.num_steps
        return None if are_used_up and not is_at_limit and not is_full else "length"

    def _step(self, step: StepTrace, position: int) -> dict[str, object]:
        stages = [self._stage(stage) for stage in step.stages]
        if step.mu is not None:
            stages[-1]["mu"] = {"before": step.mu[0], "after": step.mu[1]}
        return {
            "position": position,
            "token": {
                "id": step.token_id,
                "text": self._texts[step.token_id],
                "bytes": list(self._model.vocab.raw_bytes(step.token_id)),
            },
            "probability": step.probability,
            "logprob": step.logprob,
            "surprise": -step.logprob / _BIT,
            "entropy": step.stages[0].entropy / _BIT,
            "forced": step.is_forced,
            "stages": stages,
        }

    def _stage(self, stage: StageTrace) -> dict[str, object]:
        ids, logits = unpacked_top(stage.top)
        return {
            "name": stage.name,
            "left": stage.num_left,
            "cut": stage.num_cut,
            "cut_probability": stage.cut_mass,
            "entropy": stage.entropy / _BIT,
            "deviation": stage.deviation,
            "log_sum_exp": stage.log_total,
            "candidates": [
                _Candidate(token_id, self._texts[token_id], logit, math.exp(logit - stage.log_total))
                for token_id, logit in zip(ids, logits, strict=True)
            ],
        }


class _Texts(dict[int, str]):
    """The texts of tokens, control tokens written out, each made once."""

    def __init__(self, vocab: TextVocab) -> None:
        super().__init__()
        self._vocab = vocab

    def __missing__(self, token_id: int) -> str:
        text = self[token_id] = self._vocab.raw_bytes(token_id).decode(errors="replace")
        return text
