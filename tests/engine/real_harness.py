"""Drives an engine over a real tiny model, turn by turn, in the test's own thread."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import llama_cpp
import msgspec
from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.factory import make_embedder
from caravan.engine.embedding.values import EmbedOutput
from caravan.engine.engine import Engine
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.media.mrope import PositionedContext
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import MemoryKind, Model

from tests.engine.harness import Driver, Key
from tests.engine.reference import Reference

CONTEXT_SIZE = 250


class RealHarness(Driver):
    """An engine, its context, and everything it has published."""

    num_window_cells: ClassVar[int] = 0
    projector_path: ClassVar[str] = ""

    def __init__(
        self,
        path: Path,
        disk: DiskCache | None = None,
        /,
        *,
        num_cells: int = 1024,
        max_sequences: int = 16,
        max_running: int = 8,
        context_size: int = CONTEXT_SIZE,
        checkpoint_bytes: int | None = None,
    ) -> None:
        super().__init__()
        self.model = Model(path)
        self.config = EngineConfig(
            model_path=str(path),
            projector_path=self.projector_path,
            context_size=context_size,
            checkpoint_bytes=checkpoint_bytes,
            num_cells=num_cells,
            batch_size=64,
            max_sequences=max_sequences,
            max_running=min(max_running, max_sequences),
            max_drafted=self.usual_max_drafted,
        )
        self.context = Context(
            self.model,
            num_cells=num_cells,
            batch_size=64,
            max_sequences=max_sequences,
            num_threads=1,
            num_spare_rows=self.config.num_spare_rows,
            saves_ranges=disk is not None,
            num_window_cells=self.num_window_cells,
        )
        self.vectors: list[EmbedOutput] = []
        embedder = make_embedder(self.model, self.config, self.vectors.extend, is_whole=False)
        cells: DecodingContext = self.context
        if self.projector_path and self.model.num_position_parts > 1:
            cells = PositionedContext(cells)
        self.engine = Engine(cells, self.model.vocab, self.config, self.publish, embedder, disk=disk)
        self.engine._drafter.make_chain = self.usual_chain

    def check_books(self) -> None:
        """The engine's audit, and whether its tree agrees with the positions that llama.cpp holds."""
        super().check_books()
        if self.projector_path and self.model.num_position_parts > 1:
            return
        tree = self.engine._kv_cache._tree
        for seq_id in range(self.context.max_sequences):
            length = tree.length(seq_id) if seq_id in tree.seq_ids else 0
            assert llama_cpp.llama_memory_seq_pos_max(self.context._memory, seq_id) == length - 1

    def check_cells(self) -> None:
        """That the free cells are exactly those that llama.cpp still has; leaves the context full."""
        if self.model.memory_kind is MemoryKind.RECURRENT:
            return
        cache, window = self.engine._kv_cache, self.context.sliding_window
        while cache.num_idle >= self.context.max_sequences or not cache.windows.fit_beside(window):
            cache.evict_one()
        target = next(i for i in range(self.context.max_sequences) if self.context.min_position(i) < 0)
        left, position = cache.num_free_cells(), 0
        while left:
            count = min(left, 64)
            assert self._decode(target, position, count) is DecodeStatus.OK
            left, position = left - count, position + count
        assert self._decode(target, position, 1) is DecodeStatus.NO_ROOM

    def _decode(self, seq_id: int, position: int, count: int) -> DecodeStatus:
        batch = Batch(64)
        batch.add(seq_id, position, [1] * count, wants_logits=True)
        return self.context.decode(batch)

    def close(self) -> None:
        """Free context and model."""
        self.context.close()
        self.model.close()


class WindowsHarness(RealHarness):
    """The same, where layers with a sliding window keep no more than that, of twelve sequences."""

    num_window_cells = 256


class Workload:
    """Requests whose answers are known beforehand, and that rounding cannot change."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self._reference = Reference(path, CONTEXT_SIZE)
        self._stems = [self.tokens(80) for _ in range(3)]
        self._count = 0
        self.expected: dict[Key, str] = {}
        self.answers: dict[str, list[int]] = {}

    def tokens(self, count: int) -> list[int]:
        """Random tokens."""
        return [self.rng.randrange(256) for _ in range(count)]

    def params(self, longest: int) -> SamplingParams:
        """Greedy or sampled, long or short, with and without stop strings; always seeded."""
        return SamplingParams(
            temperature=self.rng.choice([0.0, 0.7, 1.0]),
            top_k=self.rng.choice([0, 5, 40]),
            top_p=self.rng.choice([0.9, 1.0]),
            min_p=self.rng.choice([0.0, 0.05]),
            seed=self.rng.randrange(1000),
            max_tokens=self.rng.randrange(1, longest + 1),
            stop=self.rng.choice([(), (), ("A", "zz"), ("!",)]),
        )

    def prompt(self) -> list[int]:
        """A prompt that may share a beginning with others."""
        stem = self.rng.choice(self._stems)[: self.rng.randrange(1, 80)]
        return stem + self.tokens(self.rng.randrange(12))

    def request(
        self, prompt: Callable[[], list[int]], params: Callable[[], SamplingParams], n: int = 1
    ) -> GenerationRequest:
        """The first request of these makers whose every choice is decided by more than rounding."""
        for _ in range(50):
            request = GenerationRequest(id=f"r{self._count}", token_ids=tuple(prompt()), params=params(), n=n)
            answers = [self._reference.answer(request, index) for index in range(n)]
            if all(answer.decided for answer in answers):
                break
        else:
            raise AssertionError("every answer hangs on rounding")
        self._count += 1
        self.expected |= {(request.id, index): answer.text for index, answer in enumerate(answers)}
        self.answers[request.id] = answers[0].token_ids
        return request

    def repeat(self, request: GenerationRequest) -> GenerationRequest:
        """The same request under another name."""
        twin = msgspec.structs.replace(request, id=f"r{self._count}")
        self._count += 1
        self.answers[twin.id] = self.answers[request.id]
        for index in range(request.n):
            self.expected[twin.id, index] = self.expected[request.id, index]
        return twin

    def mixed(self, count: int, longest: int = 40) -> list[GenerationRequest]:
        """Requests of every kind."""
        return [
            self.request(self.prompt, lambda: self.params(longest), self.rng.choice([1, 1, 1, 3]))
            for _ in range(count)
        ]

    def close(self) -> None:
        """Free the reference."""
        self._reference.close()
