"""Decoding fields of a request into what engine and answer need, or a refusal that names the field."""

import hashlib
import json
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import cached_property, partial
from weakref import WeakKeyDictionary

from caravan_schemas.common import Debug, DecodingStage
from caravan_schemas.models import ModelDefault
from caravan_schemas.sampling import DecodingFields, SamplingFields
from pydantic import JsonValue

from caravan.api.params import conflicts
from caravan.api.params.debug_chain import chain
from caravan.api.params.presets import PresetError, Presets, effective, load, operator_defaults
from caravan.api.params.resolved import (
    FIRST_NAMES,
    PARAMETERS,
    ResolvedParams,
    Source,
    Value,
    Values,
    resolve,
)
from caravan.api.params.token_params import (
    DryBreakers,
    bad_words,
    biases,
    check_tokens,
    checked_ids,
)
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import SamplingParams
from caravan.errors import InvalidRequestError, InvalidValueError
from caravan.models.loaded_model import LoadedModel, TextVocab

# Parameters that are the engine's as they stand, by one name.
_SAME = [
    name
    for name in SamplingParams.__struct_fields__
    if name in PARAMETERS
    and name not in ("samplers", "adaptive_target", "stop", "logit_bias")
    and name not in ("bad_words", "allowed_token_ids", "stop_token_ids")
]
# Fields on which a plan depends.
_DECIDING = frozenset({*FIRST_NAMES, "stream", "debug"})
# Of one model, plans that are remembered.
_NUM_PLANS = 256
# Fields that tell something of a prompt.
_SCORING = ("echo", "prompt_logprobs")

# As long as OpenAI's.
_FINGERPRINT = 10


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one request may ask for at most, as the operator set it."""

    max_choices: int = 16
    max_prompts: int = 128


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """`num_drawn` choices of each prompt are generated, of which the best `num_choices` are answered with.

    `chain` is there when the request asks to see it.
    """

    params: SamplingParams
    num_choices: int
    num_drawn: int
    chain: list[DecodingStage] | None = None

    @cached_property
    def debug_size(self) -> int:
        """How many values the chain shows, where the request asks to see it."""
        values = [value for stage in self.chain or () for value in stage.values.values()]
        return sum(len(value) for value in values if isinstance(value, Sized))

    def debug(self, last: Mapping[int, TokenOutput]) -> Debug | None:
        """Show the chain, with mirostat's state after these last outputs, by their indexes in the answer."""
        if self.chain is None:
            return None
        mu = {
            str(index): output.mirostat_mu for index, output in last.items() if output.mirostat_mu is not None
        }
        return Debug(
            decoding=[
                DecodingStage(stage=stage.stage, values=stage.values, mu=mu)
                if stage.stage == "mirostat"
                else stage
                for stage in self.chain
            ]
        )


class DecodingPlanner:
    """Reads the decoding fields of requests, with the presets and defaults of the operator."""

    def __init__(
        self,
        limits: RequestLimits | None = None,
        presets: Presets | None = None,
        operator: DecodingFields | None = None,
    ) -> None:
        self.limits = limits or RequestLimits()
        self.presets = load(None) if presets is None else presets
        self._operator = operator or DecodingFields()
        self._defaults: WeakKeyDictionary[LoadedModel, Values] = WeakKeyDictionary()
        self._plans: WeakKeyDictionary[LoadedModel, dict[tuple[object, ...], DecodingPlan]] = (
            WeakKeyDictionary()
        )
        self._breakers = DryBreakers()
        by_name = {name: dict(fields) for name, fields in self.presets.items()}
        self._words = json.dumps([dict(self._operator), by_name], sort_keys=True)

    def fingerprint(self, model: LoadedModel) -> str:
        """Compute OpenAI's `system_fingerprint`: equal for equal backends and values of the operator."""
        words = model.fingerprint + self._words
        return f"fp_{hashlib.sha256(words.encode()).hexdigest()[:_FINGERPRINT]}"

    def defaults(self, model: LoadedModel) -> Values:
        """Return the values that hold for a model where a request sets none."""
        if model not in self._defaults:
            self._defaults[model] = self._effective(model.metadata, model.operator_defaults)
        return self._defaults[model]

    def shown_defaults(
        self, metadata: Mapping[str, str], own: Mapping[str, object]
    ) -> dict[str, ModelDefault]:
        """Show the defaults of a model that need not be loaded; `own` are those of its own settings."""
        return {
            name: ModelDefault.model_validate({"value": known.value, "source": str(known.source)})
            for name, known in self._effective(metadata, own).items()
        }

    def _effective(self, metadata: Mapping[str, str], own: Mapping[str, object]) -> Values:
        fields = operator_defaults(own).model_dump(exclude_none=True)
        return effective(metadata, self._operator.model_copy(update=fields))

    def shown_presets(self) -> dict[str, dict[str, JsonValue]]:
        """Show what each preset sets."""
        return {name: fields.model_dump(exclude_none=True) for name, fields in sorted(self.presets.items())}

    def check(self, model: LoadedModel) -> None:
        """Refuse defaults and presets that would fail every request; raises InvalidRequestError."""
        for preset in (None, *self.presets):
            try:
                self.plan(SamplingFields(preset=preset), model)
            except InvalidRequestError as error:
                where = "the defaults" if preset is None else f"preset '{preset}'"
                raise PresetError(f"{where}: {error.message}") from error

    def plan(
        self,
        fields: SamplingFields,
        model: LoadedModel,
        default_max_tokens: int | None = None,
        *,
        num_logprobs: int | None = None,
        may_draw_nothing: bool = False,
    ) -> DecodingPlan:
        """Plan the request's decoding; what plain values alone decide is remembered.

        Tokenizes texts, so its place is a worker thread.
        """
        names = sorted(fields.model_fields_set & _DECIDING)
        values = [getattr(fields, name) for name in names]
        plan = partial(self._planned, fields, model, default_max_tokens, num_logprobs, may_draw_nothing)
        if not all(isinstance(value, str | int | float | None) for value in values):
            return plan()
        plans = self._plans.setdefault(model, {})
        key = (*names, *values, default_max_tokens, num_logprobs, may_draw_nothing)
        if (known := plans.get(key)) is None:
            if len(plans) >= _NUM_PLANS:
                plans.clear()
            known = plans[key] = plan()
        return known

    def _planned(
        self,
        fields: SamplingFields,
        model: LoadedModel,
        default_max_tokens: int | None,
        num_logprobs: int | None,
        may_draw_nothing: bool,
    ) -> DecodingPlan:
        values = self.defaults(model)
        if default_max_tokens is not None and "max_tokens" not in values:
            values = {**values, "max_tokens": Value(default_max_tokens, Source.OPENAI)}
        num_choices, num_drawn = self._counts(fields)
        is_ranked = fields.best_of is not None and num_drawn > 1
        resolved = self._resolved(fields, values, num_choices)
        if resolved["max_tokens"] == 0 and not may_draw_nothing and fields.n_predict != 0:
            name = resolved.written("max_tokens")
            # Of the fields that have an answer without a token, those that the route has.
            known = [f"'{other}'" for other in _SCORING if other in type(fields).model_fields]
            unless = f", unless {' or '.join(known)} is set" if known else ""
            raise InvalidValueError(name, f"must be at least 1{unless}")
        if fields.stream and is_ranked:
            raise InvalidValueError(
                "best_of", "and 'stream' do not go together: the best is known at the end"
            )
        params = self._params(resolved, model.vocab, score=is_ranked, num_logprobs=num_logprobs)
        shown = fields.debug is not None and bool(fields.debug.decoding)
        return DecodingPlan(
            params=params,
            num_choices=num_choices,
            num_drawn=num_drawn,
            chain=chain(params) if shown else None,
        )

    def outlook(
        self, fields: SamplingFields, metadata: Mapping[str, str], own: Mapping[str, object]
    ) -> ResolvedParams:
        """Resolve what `plan` will go by, for a model that need not be loaded."""
        num_choices, _ = self._counts(fields)
        return self._resolved(fields, self._effective(metadata, own), num_choices)

    def _resolved(self, fields: SamplingFields, values: Values, num_choices: int) -> ResolvedParams:
        counts = {"n": Value(num_choices, Source.OPENAI)}
        resolved = resolve(fields, self._preset(fields.preset), {**values, **counts})
        conflicts.check(resolved)
        return resolved

    def _counts(self, fields: SamplingFields) -> tuple[int, int]:
        asked = fields.n if fields.n_cmpl is None else fields.n_cmpl
        num_choices = asked or 1
        num_drawn = num_choices if fields.best_of is None else fields.best_of
        for name, count in (
            ("n" if fields.n_cmpl is None else "n_cmpl", num_choices),
            ("best_of", num_drawn),
        ):
            if count > self.limits.max_choices:
                raise InvalidValueError(name, f"must be from 1 to {self.limits.max_choices}")
        return num_choices, num_drawn

    def _preset(self, name: str | None) -> DecodingFields | None:
        if name is None:
            return None
        if name not in self.presets:
            known = ", ".join(f"'{known}'" for known in self.presets)
            raise InvalidValueError("preset", f"must be one of {known}")
        return self.presets[name]

    def _params(
        self, resolved: ResolvedParams, vocab: TextVocab, *, score: bool, num_logprobs: int | None
    ) -> SamplingParams:
        target, allowed = resolved["adaptive_target"], resolved["allowed_token_ids"]
        allowed_ids = checked_ids("allowed_token_ids", allowed, vocab)
        has_dry = conflicts.is_on(resolved, "dry_multiplier")
        stop_ids = checked_ids("stop_token_ids", resolved["stop_token_ids"], vocab)
        same = {name: value for name in _SAME if (value := resolved[name]) is not None}
        params = SamplingParams(
            **same,  # type: ignore[arg-type]
            samplers=tuple(s for s in conflicts.samplers(resolved) if s not in ("penalties", "dry")),
            adaptive_target=-1.0 if target is None else resolved.number("adaptive_target"),
            dry_breakers=self._breakers.of(resolved, vocab) if has_dry else (),
            logit_bias=tuple(biases(resolved["logit_bias"], vocab).items()),
            bad_words=bad_words(resolved["bad_words"], vocab),
            allowed_token_ids=None if allowed is None else tuple(sorted(set(allowed_ids))),
            max_seconds=None if resolved["max_time"] is None else resolved.number("max_time"),
            line_seconds=resolved.number("t_max_predict_ms") / 1000 or None,
            stop=tuple(dict.fromkeys(map(str, resolved.items("stop")))),
            stop_token_ids=tuple(dict.fromkeys(stop_ids)),
            include_stop=bool(resolved["include_stop_str_in_output"]),
            score=score,
            num_logprobs=num_logprobs,
        )
        check_tokens(resolved, params, vocab)
        return params
