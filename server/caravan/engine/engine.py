"""The machine: one thread that schedules, decodes, samples and publishes, step after step."""

import logging
from collections.abc import Callable, Iterable
from functools import partial

from caravan.config.engine_config import EngineConfig
from caravan.engine.batch_runner import BatchRunner
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.engine.disk_tier import DiskTier
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.drafter import Drafter
from caravan.engine.embedding.embedder import Embedder
from caravan.engine.embedding.values import EmbedRequest
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.inbox import Inbox
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.block_tracker import BlockWatch, Watch
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.outputs import EngineStats, FinishReason, Publish, TokenOutput, reason_for, refusal
from caravan.engine.params import AdapterSet, GenerationRequest
from caravan.engine.row_sampler import RowSampler
from caravan.engine.sampling.sampler import TokenSpace
from caravan.engine.scheduler import Scheduler
from caravan.engine.sequence import Sequence
from caravan.engine.sequence_factory import Guides, RefusedError, SequenceFactory
from caravan.engine.totals import Totals
from caravan.engine.work import slices_of_scores
from caravan.grammars.token_table import TokenTable
from caravan.llama.model_file import LookAtWeights, WeightsChangedError, always_sound

log = logging.getLogger(__name__)

# An engine whose every step fails is better replaced than kept: its process ends and is started anew.
_MAX_FAILED_STEPS = 3


class Engine:
    """Continuous batching over one context. `run` is the thread; `submit`, `abort` and `stop` may be called
    from any other.

    Every submission ends in exactly one output with a finish reason per choice, whatever happens. `publish`
    is called from the engine's thread: at the end of each step, even without outputs, in the middle of the
    draws if there are many, and where there is progress to be told.
    """

    def __init__(
        self,
        context: DecodingContext,
        tokens: TokenTable,
        config: EngineConfig,
        publish: Publish,
        embedder: Embedder,
        heart: HeartbeatClock | None = None,
        look_at_weights: LookAtWeights = always_sound,
        draft_model: DraftModel | None = None,
        masks: MaskFactory | None = None,
        disk: DiskCache | None = None,
    ) -> None:
        self._context = context
        self._config = config
        self._publish = publish
        self._embedder = embedder
        self._heartbeat = heart or HeartbeatClock()
        self._inbox = Inbox()
        self._token_space = TokenSpace(context.vocab_size, tokens.end_of_generation_ids, tokens.token_bytes)
        sizes = config.num_host_cache_tokens, disk.chunk_size if disk else 0, config.checkpoint_bytes
        self._kv_cache = KVCache(context, *sizes, tokens.end_of_generation_ids)
        self._disk = DiskTier(context, self._kv_cache, disk, self._flush)
        self._drafter = Drafter(config, self._token_space, context, self._kv_cache.trees, draft_model)
        self._sequence_factory = SequenceFactory(
            tokens,
            self._token_space,
            context,
            config,
            self._drafter.begin,
            lambda sequences, guides: self._inbox.put(self._constrain, sequences, guides),
            masks,
        )
        self._scheduler = Scheduler(config, self._kv_cache, self._disk.begin, has_tiles=context.has_tiles)
        asks = partial(self._finish, reason=FinishReason.LENGTH), look_at_weights, self._inbox.has_newcomer
        self._batch_runner = BatchRunner(context, config, self._kv_cache, self._scheduler, *asks, draft_model)
        self._row_sampler = RowSampler(
            self._token_space, self._kv_cache, config, self._append, self._finish, self._flush
        )
        self._outputs: list[TokenOutput] = []
        self._totals = Totals()
        self._block_watch = BlockWatch(self._kv_cache.trees)
        self._stopping = False
        self._num_failed_steps = 0

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request for the next step. Raises RuntimeError once the engine has stopped."""
        if self._stopping:
            raise RuntimeError("the engine has stopped")
        self._inbox.put(self._add, request, is_live=not request.is_background)

    def embed(self, request: EmbedRequest) -> None:
        """Queue texts for their vectors, which the embedder makes between steps and publishes by itself."""
        self._inbox.put(self._embedder.add, request, is_live=not request.is_background)

    def abort(self, request_id: str) -> None:
        """End a request wherever it is, queue, prompt or answer; unknown ids are ignored."""
        self._inbox.put(self._abort, request_id)

    def end_thoughts(self, request_id: str) -> None:
        """Have the choices of a request that are thinking begin to answer; unknown ids are ignored."""
        self._inbox.put(self._scheduler.end_thoughts, request_id)

    def watch_blocks(self, watch: Watch | None) -> None:
        """Have somebody told, before `publish`, which blocks can be reused, and what changes; or nobody."""
        self._inbox.put(self._block_watch.turn, watch)

    def between_steps(self, command: Callable[[], None]) -> None:
        """Have something done by the engine's thread."""
        self._inbox.put(command)

    def forget(self, is_unwanted: Callable[[str], bool], uses: Callable[[AdapterSet], bool]) -> bool:
        """Forget idle texts of such scopes, on its thread; not while a request `uses` its adapters: False."""
        is_free = not any(uses(sequence.request.lora) for sequence in self._scheduler.unfinished)
        if is_free:
            self._kv_cache.forget(is_unwanted)
            self._sequence_factory.forget(is_unwanted)
        return is_free

    def stop(self) -> None:
        """End `run` after the present step; what is unfinished ends with ABORT."""
        self._inbox.put(self._stop)

    def run(self) -> None:
        """Work until stopped. Raises when steps keep failing, or weights change; all is answered then."""
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
            self._inbox.take_in()
            self._sequence_factory.close()
            self._finish_all(self._scheduler.unfinished, reason, fault)
            self._flush()
            self._disk.close(is_sound=not (fault or self._num_failed_steps))
            self._row_sampler.close()
            self._embedder.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued, waiting or running."""
        return self._inbox.is_empty and not self._has_work and not self._scheduler.waiting

    @property
    def _has_work(self) -> bool:
        return self._scheduler.has_work or self._embedder.has_work

    def turn(self) -> None:
        """Take in what has arrived, sleeping for it if there is nothing to do; then one step, fenced."""
        self._heartbeat.beat()
        self._receive()
        self._guarded_step()
        has_live = self._scheduler.has_live or self._inbox.has_newcomer()
        self._embedder.step(is_beside=self._scheduler.has_work, has_live_beside=has_live)

    def step(self) -> None:
        """Fill from the disk, schedule, draft, decode, sample, publish."""
        self._expire()
        self._disk.fill(self._scheduler.running)
        work = self._drafter.add(self._scheduler.schedule(has_live_beside=self._embedder.has_live))
        self._tell_progress()
        if work:
            self._kv_cache.offload_idle()
        done = self._batch_runner.decode(work)
        self._tell_progress()
        if done:
            logits = self._context.logits()
            self._drafter.observe(work, done)
            self._row_sampler.sample(done, logits)
        self._outputs += slices_of_scores(self._scheduler.running)
        self._totals.num_steps += bool(work)
        self._flush()

    def stats(self) -> EngineStats:
        """Tell how many of everything there are; exact between steps only."""
        kv_cache, scheduler = self._kv_cache, self._scheduler
        return self._totals.stats(self._context, kv_cache, scheduler, self._drafter.counts, self._disk.counts)

    def audit(self) -> list[str]:
        """List what is wrong with ids and cells of an engine at rest; empty when they add up."""
        return self._kv_cache.audit()

    def _receive(self) -> None:
        """Take in what has arrived; with nothing to do, audit the books and sleep until something arrives."""
        if self._inbox.is_empty and not self._has_work:
            for fault in self.audit():
                log.error("the books do not add up: %s", fault)
            self._heartbeat.rest()
            command = self._inbox.wait(self._disk.rest())
            self._heartbeat.begin()
            command()
        self._inbox.take_in()

    def _guarded_step(self) -> None:
        try:
            self.step()
            self._num_failed_steps = 0
        except (KeyboardInterrupt, SystemExit, WeightsChangedError):
            raise
        except BaseException as error:
            log.exception("a step failed")
            self._num_failed_steps += 1
            # The memory cannot be trusted: what runs ends, what waits stays queued.
            self._finish_all(self._scheduler.running, reason_for(error), f"the engine failed: {error}")
            self._kv_cache.clear()
            self._flush()
            if self._num_failed_steps >= _MAX_FAILED_STEPS:
                self._finish_all(self._scheduler.unfinished, FinishReason.ERROR, "the engine keeps failing")
                self._flush()
                raise

    def _add(self, request: GenerationRequest) -> None:
        is_taken = bool(self._scheduler.find(request.id))
        try:
            sequences = self._sequence_factory.sequences(request, is_taken=is_taken)
        except RefusedError as error:
            self._outputs += refusal(request, str(error), error.reason)
            return
        self._totals.num_prompt_tokens += len(request.token_ids)
        for sequence in sequences:
            self._scheduler.add(sequence)
        if request.constraint is not None:
            self._sequence_factory.make_masks(request, sequences)

    def _constrain(self, sequences: list[Sequence], guides: Guides) -> None:
        """Go on with choices whose masks are made, unless they have ended meanwhile."""
        for sequence in self._sequence_factory.bound(sequences, guides, self._finish):
            self._scheduler.waiting.make_ready(sequence)

    def _abort(self, request_id: str) -> None:
        self._embedder.abort(request_id)
        for sequence in self._scheduler.find(request_id):
            self._finish(sequence, FinishReason.ABORT)

    def _stop(self) -> None:
        self._stopping = True

    def _expire(self) -> None:
        """End what has used up its time, in the queue and in the prompt too."""
        for sequence in self._scheduler.unfinished:
            if (reason := sequence.overdue(self._config.queue_seconds)) is not None:
                self._finish(sequence, reason)

    def _append(self, sequence: Sequence, token_id: int) -> bool:
        """Add a token to its sequence and tell the client, or end the sequence; whether it goes on."""
        sequence.token_ids.append(token_id)
        self._totals.num_completion_tokens += 1
        is_end = token_id in self._token_space.end_ids or token_id in sequence.params.stop_token_ids
        sequence.hold_logprob(is_end=is_end)
        if is_end:
            self._finish(sequence, FinishReason.STOP)
            return False
        may_stop = sequence.num_completion_tokens >= sequence.params.min_tokens
        text = sequence.detokenizer.push(token_id, may_stop=may_stop)
        if sequence.detokenizer.stopped or sequence.sampler.is_complete:
            self._finish(sequence, FinishReason.STOP, text=text)
        elif sequence.ends_early(text) or sequence.is_full(self._config.context_size):
            self._finish(sequence, FinishReason.LENGTH, text=text)
        elif text:
            self._outputs.append(sequence.output(text))
        return sequence.is_unfinished

    def _finish(
        self, sequence: Sequence, reason: FinishReason, error: str | None = None, text: str = ""
    ) -> None:
        """End a sequence, whatever its state; the only place where one ends."""
        self._totals.count_cached(sequence)
        text += sequence.detokenizer.finish()
        if sequence.detokenizer.stopped and reason is FinishReason.LENGTH:
            # Only now it was certain that no mark begins in that stop string.
            reason = FinishReason.STOP
        self._scheduler.remove(sequence)
        self._outputs.append(sequence.output(text, reason, error))

    def _finish_all(self, ended: Iterable[Sequence], reason: FinishReason, error: str | None = None) -> None:
        for sequence in list(ended):
            self._finish(sequence, reason, error)

    def _tell_progress(self) -> None:
        """Tell at once how far prompts are: it may take seconds until this step has ended."""
        news = [told for sequence in self._scheduler.running if (told := sequence.tell_progress())]
        if news:
            self._outputs += news
            self._flush()

    def _flush(self) -> None:
        """Hand over the outputs of this step, all at once."""
        self._block_watch.flush()
        outputs, self._outputs = self._outputs, []
        self._publish(outputs, self.stats)
