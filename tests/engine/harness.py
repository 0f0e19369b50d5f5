"""Drives an engine turn by turn in the test's own thread, here over a fake context."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.drafter import MakeChain
from caravan.engine.engine import Engine
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.media.mrope import PositionedContext
from caravan.engine.outputs import EngineStats, FinishReason, TokenOutput
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.grammars.token_table import TokenTable
from caravan.llama.model_file import LookAtWeights, always_sound

from tests.fakes import FakeContext, FakeVocab, no_embedder

Key = tuple[str, int]


class Driver:
    """Runs an engine turn by turn and keeps all that it publishes; subclasses make the engine."""

    engine: Engine
    # What tests of drafts turn on for others.
    usual_max_drafted = 0

    def __init__(self) -> None:
        self.outputs: list[TokenOutput] = []

    def usual_chain(self, _request: GenerationRequest) -> ProposerChain | None:
        """What drafts for a request; tests of drafts replace it."""
        return None

    def run(self, requests: Iterable[GenerationRequest]) -> dict[Key, str]:
        """Submit all at once, run until idle, check the books; the text of every choice."""
        for item in requests:
            self.engine.submit(item)
        return self.finish()

    def finish(self, each_turn: Callable[[int], None] = lambda _turn: None) -> dict[Key, str]:
        """Run until idle and check the books; the text of every choice."""
        for turn in range(100_000):
            each_turn(turn)
            if self.engine.is_idle:
                break
            self.engine.turn()
        assert self.engine.is_idle, "the engine does not come to rest"
        self.check_books()
        return self.texts()

    def check_books(self) -> None:
        """The engine's own audit."""
        assert self.engine.audit() == []

    def texts(self) -> dict[Key, str]:
        """The text of every choice so far."""
        texts: dict[Key, str] = defaultdict(str)
        for output in self.outputs:
            texts[output.request_id, output.index] += output.text
        return dict(texts)

    def reasons(self) -> dict[Key, list[FinishReason]]:
        """All finish reasons that every choice has got."""
        reasons: dict[Key, list[FinishReason]] = defaultdict(list)
        for output in self.outputs:
            if output.finish_reason is not None:
                reasons[output.request_id, output.index].append(output.finish_reason)
        return dict(reasons)

    def publish(self, outputs: list[TokenOutput], _stats: Callable[[], EngineStats]) -> None:
        """What the engine calls once a step."""
        self.outputs.extend(outputs)

    def cached_tokens(self, request_id: str) -> int:
        """How much of a finished request's prompt came from memory."""
        return max(o.num_cached_tokens for o in self.outputs if o.request_id == request_id)


class Harness(Driver):
    """An engine over a fake context."""

    vocab: TokenTable = FakeVocab()
    usual_batch_size = 32

    def __init__(
        self,
        context: FakeContext | None = None,
        *,
        batch_size: int | None = None,
        max_running: int = 8,
        context_size: int = 512,
        num_scored_rows: int = 64,
        queue_seconds: float = 0.0,
        num_sampling_threads: int = 1,
        look_at_weights: LookAtWeights = always_sound,
        max_drafted: int | None = None,
        make_chain: MakeChain | None = None,
        disk: DiskCache | None = None,
        checkpoint_bytes: int | None = None,
        positioned: bool = False,
    ) -> None:
        super().__init__()
        self.context = context or FakeContext()
        config = EngineConfig(
            model_path="fake",
            context_size=context_size,
            num_cells=self.context.num_cells,
            batch_size=batch_size or self.usual_batch_size,
            max_running=min(max_running, self.context.max_sequences),
            max_sequences=self.context.max_sequences,
            num_scored_rows=num_scored_rows,
            queue_seconds=queue_seconds,
            num_sampling_threads=num_sampling_threads,
            max_drafted=self.usual_max_drafted if max_drafted is None else max_drafted,
            checkpoint_bytes=checkpoint_bytes,
            projector_path="fake",
        )
        self.engine = Engine(
            PositionedContext(self.context) if positioned else self.context,
            self.vocab,
            config,
            self.publish,
            no_embedder(),
            look_at_weights=look_at_weights,
            disk=disk,
        )
        self.engine._drafter.make_chain = make_chain or self.usual_chain

    def check_books(self) -> None:
        """The audit, and whether the cells counted are those in use."""
        super().check_books()
        assert self.engine.stats().num_cells_used == self.context.num_cells_used


def request(
    name: str, token_ids: Iterable[int], *, n: int = 1, salt: str = "", **params: object
) -> GenerationRequest:
    """A request with greedy decoding and 20 tokens unless told otherwise."""
    settings = {"temperature": 0.0, "max_tokens": 20, **params}
    return GenerationRequest(
        id=name,
        token_ids=tuple(token_ids),
        params=msgspec.convert(settings, SamplingParams),
        n=n,
        cache_salt=salt,
    )


def mixed_requests(seed: int, count: int, longest: int = 120) -> list[GenerationRequest]:
    """Prompts of all lengths, many with a common beginning, greedy and sampled, with siblings and stops."""
    rng = random.Random(seed)
    stems = [[rng.randrange(256) for _ in range(longest)] for _ in range(3)]
    requests = []
    for number in range(count):
        stem = rng.choice(stems)[: rng.randrange(1, longest)]
        tail = [rng.randrange(256) for _ in range(rng.randrange(0, 12))]
        requests.append(
            request(
                f"r{number}",
                stem + tail,
                n=rng.choice([1, 1, 1, 3]),
                temperature=rng.choice([0.0, 0.0, 1.0]),
                seed=rng.randrange(1000),
                max_tokens=rng.randrange(1, 40),
                stop=rng.choice([(), (), ("ab", "xyz"), ("q",)]),
            )
        )
    return requests
