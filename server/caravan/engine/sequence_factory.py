"""Requests into sequences, and the masks that constrained ones wait for."""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from caravan.config.engine_config import EngineConfig
from caravan.engine.activation import Stages, stages_of
from caravan.engine.constraints.guide import Guide
from caravan.engine.constraints.token_mask import ConstraintError, MaskFactory, TokenMask
from caravan.engine.continuation import (
    ContinuationError,
    ContinuedDetokenizer,
    is_replayed,
    lead,
    read_over,
    remaining,
    split_prompt,
    standing,
)
from caravan.engine.drafts.drafting import Drafting
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.scopes import scope_of
from caravan.engine.media.keys import cells_of
from caravan.engine.media.mapped import MappedRun, MediaError, MediaLimits, mapped
from caravan.engine.output.detokenizer import Detokenizer
from caravan.engine.output.logprobs import PromptLogprobBuffer, PromptScores
from caravan.engine.output.replay import Replay
from caravan.engine.output.token_probes import TokenProbes
from caravan.engine.outputs import FinishReason, reason_for
from caravan.engine.params import GenerationRequest, Reasoning
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.engine.sampling.trace import TracedSampler
from caravan.engine.sequence import Scores, Sequence
from caravan.grammars.token_table import TokenTable
from caravan.runtime.fair_queue import FairThread

log = logging.getLogger(__name__)

_NONE = np.empty(0, np.int32)


class RefusedError(Exception):
    """A request cannot be taken in; its choices end for this `reason`."""

    def __init__(self, fault: str, reason: FinishReason) -> None:
        super().__init__(fault)
        self.reason = reason


Guides = list[Guide] | RefusedError


class SequenceFactory:
    """Makes sequences, and masks on a thread of its own, so that running streams do not wait for a grammar;
    each owner has a share of its time.

    Apart from `deliver`, which is called on that thread, everything happens on the engine's.
    """

    def __init__(
        self,
        tokens: TokenTable,
        token_space: TokenSpace,
        context: DecodingContext,
        config: EngineConfig,
        draft: Callable[[GenerationRequest], Drafting | None],
        deliver: Callable[[list[Sequence], Guides], None],
        masks: MaskFactory | None = None,
    ) -> None:
        self._tokens = tokens
        self._token_space = token_space
        self._factory = masks or MaskFactory(len(token_space.ids), tokens)
        self._context_size = config.context_size
        self._adapters = context.adapters
        width = context.media_width if config.has_projector else 0
        self._media_limits = MediaLimits(width, context.num_position_parts, config.batch_size)
        self._draft = draft
        self._deliver = deliver
        self._num_arrivals = 0
        self._scores = PromptLogprobBuffer()
        self._thread = FairThread("masks")

    def _fault_of(self, request: GenerationRequest, *, is_taken: bool) -> str | None:
        """Tell why the engine cannot take a request. Callers check before; this guards the process."""
        if not 0 < len(request.token_ids) < self._context_size:
            return f"{len(request.token_ids)} prompt tokens do not fit {self._context_size}"
        is_text = not request.media
        if (is_text and min(request.token_ids) < 0) or max(request.token_ids) >= len(self._token_space.ids):
            return "a prompt token is outside the vocabulary"
        if unknown := [name for name, _ in request.lora if name not in self._adapters]:
            return f"there is no adapter '{unknown[0]}'"
        if is_taken:
            return "a request of this id is running"
        if request.probes and (
            len(request.probes) > len(request.token_ids) or request.params.max_tokens != 0
        ):
            return "its probes have no place"
        probed = itertools.chain.from_iterable(request.probes)
        named = (*request.shown_token_ids, *_reasoning_ids(request.reasoning), *probed)
        if named and not 0 <= min(named) <= max(named) < len(self._token_space.ids):
            return "a token that the request names is outside the vocabulary"
        if request.reasoning and not (request.reasoning.end and request.reasoning.end_token_ids):
            return "the end of reasoning is empty"
        if request.constraint and not all(request.constraint.after):
            return "a marker is empty"
        if request.drawn:
            return _fault_of_drawn(request, self._context_size, len(self._token_space.ids))
        return _fault_of_trace(request)

    def sequences(self, request: GenerationRequest, *, is_taken: bool) -> list[Sequence]:
        """Make the choices of a request, whose id is taken or not. Raises RefusedError.

        Those of a constrained one wait for what `make_masks` delivers.
        """
        fault = self._fault_of(request, is_taken=is_taken)
        if fault is not None:
            raise RefusedError(fault, FinishReason.ERROR)
        try:
            media = mapped(request, self._media_limits) if request.media else ()
            stages = stages_of(request.lora, self._adapters, request.token_ids)
            return [self._sequence(request, index, media, stages) for index in request.indexes]
        except MediaError as error:
            raise RefusedError(str(error), FinishReason.ERROR) from error
        except ContinuationError as error:
            raise RefusedError(str(error), FinishReason.CONTRADICTED) from error
        except Exception as error:
            log.exception("a request could not be taken in")
            fault = f"the engine cannot take this request: {error}"
            raise RefusedError(fault, reason_for(error)) from error

    def make_masks(self, request: GenerationRequest, sequences: list[Sequence]) -> None:
        """Begin to make the masks of a constrained request's choices, which are delivered."""
        self._thread.submit(partial(self._make, request, sequences), request.owner, request.weight)

    def bound(
        self,
        sequences: Iterable[Sequence],
        guides: Guides,
        refuse: Callable[[Sequence, FinishReason, str], None],
    ) -> Iterator[Sequence]:
        """Let guides bind the choices that have waited for them, unless they have ended, and yield those;
        without guides, `refuse` them.
        """
        for sequence in sequences:
            if not sequence.is_unfinished:
                continue
            if isinstance(guides, RefusedError):
                refuse(sequence, guides.reason, str(guides))
            else:
                sequence.sampler.guide = guides[sequence.index]
                yield sequence

    def forget(self, is_unwanted: Callable[[str], bool]) -> None:
        """Forget how likely the tokens of prompts were in such scopes."""
        self._scores.forget(is_unwanted)

    def close(self) -> None:
        """Make no more masks."""
        self._thread.close(wait=False)

    def _sequence(
        self, request: GenerationRequest, index: int, media: tuple[MappedRun, ...], stages: Stages
    ) -> Sequence:
        self._num_arrivals += 1
        is_led = request.constraint is None and request.reasoning is not None
        guide = self._guide(request, index, None) if is_led else None
        detokenizer = self._detokenizer(request, index)
        sampler, scores = self._sampler(request, index, guide, stages)
        drafting = self._draft(request)
        sequence = Sequence(
            remaining(request),
            index,
            self._num_arrivals,
            sampler,
            detokenizer,
            scores,
            drafting,
            media,
            stages,
        )
        if request.drawn:
            sequence.take_over(standing(request, index))
        return sequence

    def _sampler(
        self, request: GenerationRequest, index: int, guide: Guide | None, stages: Stages
    ) -> tuple[Sampler, Scores]:
        """Make a sampler; one that has to see the rows of what stands already gets them."""
        prompt, token_ids = split_prompt(request)[0], standing(request, index)
        # An image is no token that could be repeated.
        text = tuple(token_id for token_id in prompt if token_id >= 0) if request.media else prompt
        known = request.params, text, index, self._token_space, guide
        if request.num_traced is None:
            sampler = Sampler(*known)
        else:
            sampler = TracedSampler(*known, num_candidates=request.num_traced)
        if not token_ids:
            return sampler, self._prompt_scores(request, stages)
        if is_replayed(request, index):
            return sampler, Replay([*prompt, *token_ids], len(token_ids), sampler.follow)
        sampler.stand(token_ids)
        return sampler, None

    def _detokenizer(self, request: GenerationRequest, index: int) -> Detokenizer:
        known = self._tokens, request.params, request.shown_token_ids, request.reasoning, request.layout
        if request.num_continued:
            return ContinuedDetokenizer(standing(request, index), *known)
        detokenizer = Detokenizer(*known)
        read_over(detokenizer, standing(request, index), request.params.min_tokens)
        return detokenizer

    def _prompt_scores(self, request: GenerationRequest, stages: Stages) -> Scores:
        if request.probes:
            return TokenProbes(request.token_ids, request.probes)
        if request.num_prompt_logprobs is None:
            return None
        cells = cells_of(request.token_ids, request.media) if request.media else request.token_ids
        scope = scope_of(request, stages).name
        return PromptScores(self._scores, cells, scope, request.num_prompt_logprobs)

    def _guide(self, request: GenerationRequest, index: int, mask: TokenMask | None) -> Guide:
        space_ids = _NONE if mask is None else self._factory.space_ids
        guide = Guide(
            self._tokens, space_ids, mask, request.constraint, request.reasoning, request.shown_token_ids
        )
        if not is_replayed(request, index):
            lead(guide, standing(request, index))
        return guide

    def _make(self, request: GenerationRequest, sequences: list[Sequence]) -> None:
        assert request.constraint is not None
        if not any(sequence.is_unfinished for sequence in sequences):
            return
        try:
            masks = self._factory.make(request.constraint, request.n)
            guides: Guides = [self._guide(request, index, mask) for index, mask in enumerate(masks)]
        except ContinuationError as error:
            guides = RefusedError(str(error), FinishReason.CONTRADICTED)
        except ConstraintError as error:
            guides = RefusedError(str(error), FinishReason.UNSATISFIABLE)
        except MemoryError:
            guides = RefusedError("no memory for its constraint", FinishReason.NO_MEMORY)
        # Nothing may keep the request from being told, not even what is no Exception.
        except BaseException as error:
            guides = RefusedError(f"it could not be prepared: {error}", FinishReason.UNSATISFIABLE)
        self._deliver(sequences, guides)


def _fault_of_drawn(request: GenerationRequest, context_size: int, vocab_size: int) -> str | None:
    """Tell why choices of a request cannot go on from what another engine has drawn of them."""
    tells_tokens = request.num_traced is not None or request.params.num_logprobs is not None
    tells_prompt = request.num_prompt_logprobs is not None or bool(request.probes)
    if tells_tokens or tells_prompt or request.params.score or request.num_continued:
        return "what it tells of its tokens is with another engine"
    if len(request.drawn) != request.n or not request.indexes:
        return "no choice of it is to go on"
    ids = [token_id for token_ids in request.drawn for token_id in token_ids or ()]
    if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
        return "a token that was drawn is outside the vocabulary"
    longest = max(len(token_ids or ()) for token_ids in request.drawn)
    return None if len(request.token_ids) + longest < context_size else "what was drawn fills the context"


def _fault_of_trace(request: GenerationRequest) -> str | None:
    """Tell why a request cannot be traced, or continued, as it says."""
    if request.num_traced is None:
        return "nothing tells how it is continued" if request.num_continued else None
    if request.num_traced < 1 or not 0 <= request.num_continued < len(request.token_ids):
        return "nothing is traced or continued"
    if request.probes or request.num_prompt_logprobs is not None:
        return "its prompt and its draws cannot both be told"
    return None


def _reasoning_ids(reasoning: Reasoning | None) -> tuple[int, ...]:
    return () if reasoning is None else (*reasoning.start_token_ids, *reasoning.end_token_ids)
