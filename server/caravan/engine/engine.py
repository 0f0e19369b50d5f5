"""The machine: one thread that schedules, decodes, samples and publishes, step after step."""

import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from caravan.config.engine_config import EngineConfig
from caravan.engine.batch_runner import BatchRunner
from caravan.engine.constraints.mask_prefetcher import MaskPrefetcher
from caravan.engine.constraints.token_mask import ConstraintError
from caravan.engine.embedding.embedder import Embedder
from caravan.engine.embedding.values import EmbedRequest
from caravan.engine.interfaces import DecodingContext
from caravan.engine.ipc.heartbeat import HeartbeatClock
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.output.score_slices import slices
from caravan.engine.outputs import EngineStats, FinishReason, TokenOutput, reason_for
from caravan.engine.parallel_sampling import ParallelSampler, plain_rows
from caravan.engine.params import GenerationRequest
from caravan.engine.prefill_budget import PrefillBudget
from caravan.engine.refusal import refusal
from caravan.engine.sampling.candidates import Floats
from caravan.engine.sampling.sampler import TokenSpace
from caravan.engine.scheduler import Scheduler, Work
from caravan.engine.sequence import Sequence
from caravan.engine.sequence_factory import Masks, SequenceFactory
from caravan.engine.totals import Totals
from caravan.grammars.token_table import TokenTable
from caravan.llama.weights_watch import LookAtWeights, WeightsChangedError, always_sound

log = logging.getLogger(__name__)

# An engine whose every step fails is better replaced than kept: its process ends and is started anew.
_MAX_FAILED_STEPS = 3
# So many draws of a step take long enough for the server to write the texts of half of them meanwhile, on a
# processor that llama.cpp's threads want back with the next step.
_MANY_ROWS = 6

Command = Callable[[], None]


class Engine:
    """Continuous batching over one context. `run` is the thread; `submit`, `abort` and `stop` may be called
    from any other.

    Every submission ends in exactly one output with a finish reason per choice, whatever happens. `publish`
    is called from the engine's thread with outputs and the books: once at the end of each step, even if there
    are none, and once in the middle of the draws if there are many.
    """

    def __init__(
        self,
        context: DecodingContext,
        tokens: TokenTable,
        config: EngineConfig,
        publish: Callable[[list[TokenOutput], EngineStats], None],
        embedder: Embedder,
        heart: HeartbeatClock | None = None,
        look_at_weights: LookAtWeights = always_sound,
    ) -> None:
        self._context = context
        self._config = config
        self._publish = publish
        self._embedder = embedder
        self._heartbeat = heart or HeartbeatClock()
        self._inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._token_space = TokenSpace(context.vocab_size, tokens.end_of_generation_ids)
        self._sequence_factory = SequenceFactory(
            tokens, self._token_space, config.context_size, self._deliver
        )
        prefill_budget = PrefillBudget(config.step_seconds, has_tiles=context.has_tiles)
        self._kv_cache = KVCache(context, config.num_parked_tokens)
        self._scheduler = Scheduler(config, self._kv_cache, prefill_budget, has_tiles=context.has_tiles)
        self._batch_runner = BatchRunner(
            context,
            config,
            self._kv_cache,
            self._scheduler,
            prefill_budget,
            lambda sequence: self._finish(sequence, FinishReason.LENGTH),
            look_at_weights,
        )
        self._mask_prefetcher = MaskPrefetcher()
        self._parallel_sampler = ParallelSampler(config.num_sampling_threads)
        self._outputs: list[TokenOutput] = []
        self._totals = Totals()
        self._stopping = False
        self._num_failed_steps = 0

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request for the next step. Raises RuntimeError once the engine has stopped."""
        if self._stopping:
            raise RuntimeError("the engine has stopped")
        self._inbox.put(lambda: self._add(request))

    def embed(self, request: EmbedRequest) -> None:
        """Queue texts for their vectors, which the embedder makes between steps and publishes by itself."""
        self._inbox.put(partial(self._embedder.add, request))

    def abort(self, request_id: str) -> None:
        """End a request wherever it is, queue, prompt or answer; unknown ids are ignored."""
        self._inbox.put(lambda: self._abort(request_id))

    def stop(self) -> None:
        """End `run` after the present step; what is unfinished ends with ABORT."""
        self._inbox.put(self._stop)

    def run(self) -> None:
        """Work until stopped. Raises when steps keep failing, and WeightsChangedError; every request has been
        answered then.
        """
        fault: str | None = None
        try:
            while not self._stopping:
                self.turn()
        except WeightsChangedError as error:
            fault = str(error)
            raise
        finally:
            self._stopping = True
            reason = FinishReason.ERROR if fault else FinishReason.ABORT
            self._take_in()
            self._sequence_factory.close()
            self._finish_all(reason, fault)
            self._flush()
            self._mask_prefetcher.close()
            self._parallel_sampler.close()
            self._embedder.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued, waiting or running."""
        return self._inbox.empty() and not self._has_work and not self._scheduler.waiting

    @property
    def _has_work(self) -> bool:
        return self._scheduler.has_work or self._embedder.has_work

    def turn(self) -> None:
        """Take in what has arrived, sleeping for it if there is nothing to do; then one step, fenced."""
        self._heartbeat.beat()
        self._receive()
        self._guarded_step()
        self._embedder.step(is_beside=self._scheduler.has_work)

    def step(self) -> None:
        """Schedule, decode, sample, publish."""
        self._expire()
        work = self._scheduler.schedule()
        if work:
            self._kv_cache.offload_idle()
        done = self._batch_runner.decode(work)
        self._sample(done)
        self._outputs += slices(self._scheduler.running)
        self._totals.steps += bool(work)
        self._flush()

    def stats(self) -> EngineStats:
        """The books as they stand; exact between steps only."""
        return self._totals.books(self._scheduler, self._kv_cache, self._context.num_cells)

    def audit(self) -> list[str]:
        """What is wrong with the books of an engine at rest; empty when they add up."""
        return self._kv_cache.audit()

    def _receive(self) -> None:
        """Take in what has arrived; with nothing to do, audit the books and sleep until something arrives."""
        if self._inbox.empty() and not self._has_work:
            for fault in self.audit():
                log.error("the books do not add up: %s", fault)
            self._heartbeat.rest()
            command = self._inbox.get()
            self._heartbeat.begin()
            command()
        self._take_in()

    def _take_in(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def _guarded_step(self) -> None:
        try:
            self.step()
            self._num_failed_steps = 0
        except (KeyboardInterrupt, SystemExit, WeightsChangedError):
            raise
        except BaseException as error:
            log.exception("a step failed")
            self._num_failed_steps += 1
            self._fail_running(f"the engine failed: {error}", reason_for(error))
            if self._num_failed_steps >= _MAX_FAILED_STEPS:
                self._finish_all(FinishReason.ERROR, "the engine failed repeatedly")
                self._flush()
                raise

    def _add(self, request: GenerationRequest) -> None:
        fault = self._sequence_factory.fault_of(request, is_taken=bool(self._scheduler.find(request.id)))
        if fault is not None:
            self._refuse(request, fault)
            return
        try:
            sequences = self._sequence_factory.sequences(request)
        except Exception as error:
            log.exception("a request could not be taken in")
            self._refuse(request, f"the engine cannot take this request: {error}", reason_for(error))
            return
        self._totals.prompt += len(request.token_ids)
        for sequence in sequences:
            self._scheduler.add(sequence)
        if request.constraint is not None:
            self._sequence_factory.make_masks(request)

    def _deliver(self, request: GenerationRequest, masks: Masks) -> None:
        self._inbox.put(lambda: self._constrain(request, masks))

    def _constrain(self, request: GenerationRequest, masks: Masks) -> None:
        """Go on with a request whose masks are made, unless it was aborted meanwhile."""
        if not self._sequence_factory.take(request):
            return
        for sequence in self._scheduler.find(request.id):
            if isinstance(masks, ConstraintError):
                self._finish(sequence, FinishReason.UNSATISFIABLE, str(masks))
            elif isinstance(masks, MemoryError):
                self._finish(sequence, FinishReason.NO_MEMORY, "no memory for its constraint")
            else:
                self._sequence_factory.bind(request, sequence, masks[sequence.index])
                self._scheduler.waiting.make_ready(sequence)

    def _refuse(
        self, request: GenerationRequest, fault: str | None, reason: FinishReason = FinishReason.ERROR
    ) -> None:
        self._outputs.extend(refusal(request, fault, reason))

    def _abort(self, request_id: str) -> None:
        self._embedder.abort(request_id)
        self._sequence_factory.forget(request_id)
        for sequence in self._scheduler.find(request_id):
            self._finish(sequence, FinishReason.ABORT)

    def _stop(self) -> None:
        self._stopping = True

    def _expire(self) -> None:
        """End what has used up its time, in the queue and in the prompt too."""
        now = time.monotonic()
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            if sequence.deadline is not None and sequence.deadline <= now:
                self._finish(sequence, FinishReason.LENGTH)
        limit = self._config.queue_seconds
        for sequence in list(self._scheduler.waiting) if limit else ():
            if sequence.has_waited_over(limit):
                self._finish(sequence, FinishReason.EXPIRED)

    def _sample(self, done: list[Work]) -> None:
        """Draw the next token of every sequence whose known tokens are all computed."""
        if not done:
            return
        logits = self._context.logits()
        drawn = (
            self._parallel_sampler.draw(plain_rows(done, logits))
            if self._parallel_sampler.is_parallel
            else {}
        )
        halfway = len(done) // 2 if len(done) >= _MANY_ROWS else None
        start = 0
        for row, item in enumerate(done):
            if row == halfway:
                self._flush()
            self._draw(item, logits[start : start + item.num_logits], drawn.get(item.sequence))
            start += item.num_logits
        self._mask_prefetcher.prepare(
            item.sequence.sampler.next_mask for item in done if item.sequence.is_unfinished
        )

    def _draw(self, item: Work, logits: Floats, drawn: Future[int] | None) -> None:
        """Go on with one sequence by its rows of logits, or by what was drawn from them; fenced."""
        sequence = item.sequence
        try:
            if item.num_scored and sequence.scores is not None:
                sequence.scores.take(logits[: item.num_scored], self._token_space.ids)
            if not item.completes:
                return
            if sequence.params.max_tokens == 0:
                self._finish(sequence, FinishReason.LENGTH)
                return
            # What follows without a draw is added with it; the next step computes it all at once.
            for token_id in [drawn.result()] if drawn else sequence.sampler.next_tokens(logits[-1]):
                if not self._append(sequence, token_id):
                    break
        except ConstraintError as error:
            self._finish(sequence, FinishReason.UNSATISFIABLE, str(error))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            log.exception("a draw failed")
            self._finish(sequence, reason_for(error), f"sampling failed: {error}")

    def _append(self, sequence: Sequence, token_id: int) -> bool:
        """Add a token to its sequence and tell the client, or end the sequence; whether it goes on."""
        sequence.token_ids.append(token_id)
        self._totals.completion += 1
        is_end = token_id in self._token_space.end_ids or token_id in sequence.params.stop_token_ids
        sequence.hold_logprob(is_end=is_end)
        if is_end:
            self._finish(sequence, FinishReason.STOP)
            return False
        if sequence.num_completion_tokens < sequence.params.min_tokens:
            text = sequence.detokenizer.push_unstopped(token_id)
        else:
            text = sequence.detokenizer.push(token_id)
        if sequence.detokenizer.stopped or sequence.sampler.is_complete:
            self._finish(sequence, FinishReason.STOP, text=text)
        elif sequence.ends_line_late(text) or sequence.is_full(self._config.context_size):
            self._finish(sequence, FinishReason.LENGTH, text=text)
        elif text:
            self._outputs.append(sequence.output(text))
        return sequence.is_unfinished

    def _finish(
        self, sequence: Sequence, reason: FinishReason, error: str | None = None, text: str = ""
    ) -> None:
        """End a sequence, whatever its state; the only place where one ends."""
        self._totals.cached += sequence.num_cached_tokens or 0
        text += sequence.detokenizer.finish()
        if sequence.detokenizer.stopped and reason is FinishReason.LENGTH:
            # Only now it was certain that no mark begins in that stop string.
            reason = FinishReason.STOP
        self._scheduler.remove(sequence)
        self._outputs.append(sequence.output(text, reason, error))

    def _finish_all(self, reason: FinishReason, error: str | None = None) -> None:
        for sequence in (*self._scheduler.running, *self._scheduler.waiting):
            self._finish(sequence, reason, error)

    def _fail_running(self, error: str, reason: FinishReason) -> None:
        """The memory cannot be trusted: end what runs, forget all cells; what waits stays queued."""
        for sequence in list(self._scheduler.running):
            self._finish(sequence, reason, error)
        self._kv_cache.clear()
        self._flush()

    def _flush(self) -> None:
        """Hand over the outputs of this step, all at once."""
        outputs, self._outputs = self._outputs, []
        self._publish(outputs, self.stats())
