"""Stand-ins for the engine and the vocabulary, whose answers are exact functions of the request."""

import asyncio
import functools
import math
import re
from array import array
from collections.abc import AsyncGenerator, Callable, Sequence

import numpy as np
from caravan.chat.families import recognise
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.prompt_template import CHATML
from caravan.engine.block_events import BlockEvent
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.outputs import (
    EngineStats,
    FinishReason,
    PromptProgress,
    TokenLogprob,
    TokenOutput,
    packed_top,
)
from caravan.engine.params import GenerationRequest
from caravan.llama.model_file import FileChange
from caravan.media.values import MediaEncoder
from caravan.models import ModelRegistry, ModelSpec
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ContextLength
from caravan.sizing.sizes import Need

BOS_ID = 256
SPECIALS = {"<s>": BOS_ID, "<|im_start|>": 257, "<|im_end|>": 258}
_SPECIAL = re.compile(f"({'|'.join(map(re.escape, SPECIALS))})")


class FakeVocab:
    """One token per byte, and a few special ones. `with_bos` decides whether there is a BOS."""

    def __init__(self, *, with_bos: bool = False) -> None:
        self.size = 259
        self.longest_token = max(map(len, SPECIALS))
        self.bos_id = BOS_ID if with_bos else None
        self.fill_ids: tuple[int, int, int] | None = None
        self.file_ids: tuple[int | None, int | None] = (None, None)
        self.eos_id: int | None = SPECIALS["<|im_end|>"]
        self.end_of_generation_ids = frozenset({SPECIALS["<|im_end|>"]})
        self.marker_ids: frozenset[int] = frozenset()

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < BOS_ID else b""

    def raw_bytes(self, token_id: int) -> bytes:
        return self.token_bytes(token_id) or self.token_text(token_id).encode()

    def token_text(self, token_id: int) -> str:
        return {known: word for word, known in SPECIALS.items()}.get(token_id, chr(token_id))

    def token_array(self, text: str, *, add_special: bool, parse_special: bool) -> "array[int]":
        return array("i", self.tokenize(text, add_special=add_special, parse_special=parse_special))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        token_ids = [BOS_ID] if add_special and self.bos_id is not None else []
        for part in _SPECIAL.split(text) if parse_special else [text]:
            token_ids.extend([SPECIALS[part]] if parse_special and part in SPECIALS else part.encode())
        return token_ids


Script = Callable[[GenerationRequest, int], Sequence[str]]


def echo_words(request: GenerationRequest, index: int) -> list[str]:
    """Pieces that name the prompt's length, the choice and the seed."""
    return [f"prompt of {len(request.token_ids)}", f" choice {index}", f" seed {request.params.seed}"]


class ScriptedEngine:
    """Says what its script says, a piece at a time, choices taking turns; each byte is a token.

    It holds still after `hold_after` pieces until that is None again, and raises `failure` after `fail_after`
    pieces. `running` and `aborted` tell what became of requests, `num_starts` how often it was started, which
    takes as long as `holds_start`. Plain attributes, so a test in another thread may set them.
    """

    def __init__(self, script: Script = echo_words, *, context_size: int = 512) -> None:
        self.script = script
        self.context_size = context_size
        self.missing_adapters: set[str] = set()
        self.is_ready = False
        self.hold_after: int | None = None
        self.failure: Exception | None = None
        self.fail_after = 0
        self.num_reasoning_tokens = 0
        self.requests: list[GenerationRequest] = []
        self.embedded: list[EmbedRequest] = []
        self.running: set[str] = set()
        self.aborted: list[str] = []
        self.ended_thoughts: list[str] = []
        self.block_listeners: list[tuple[Callable[[Sequence[BlockEvent]], None], bytes]] = []
        self.start_failure: Exception | None = None
        self.holds_start = False
        self.num_starts = 0
        self.closed = False
        self.num_restarts = 0
        self.is_outdated = False
        self.file_change: FileChange | None = None
        self.need = Need(1)
        self.pid: int | None = None
        self.traits = ModelTraits(embedding_size=4)
        self.num_places = 64
        self.max_running = 4
        self.probe: Callable[[tuple[int, ...], int], float] = lambda _before, token_id: -1 - token_id / 1000

    async def start(self) -> None:
        self.num_starts += 1
        self.closed = False
        while self.holds_start:
            await asyncio.sleep(0.002)
        if self.start_failure is not None:
            raise self.start_failure
        self.is_ready = True

    async def opened(self) -> None:
        """It has no file."""

    async def close(self) -> None:
        self.closed = True
        self.is_ready = False

    def stats(self) -> EngineStats:
        return EngineStats(num_running=len(self.running), num_cells=512, num_cells_used=128)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        self.requests.append(request)
        self.running.add(request.id)
        ended = False
        try:
            for count, output in enumerate(self._outputs(request)):
                while self.hold_after is not None and count >= self.hold_after:
                    await asyncio.sleep(0.002)
                if self.failure is not None and count >= self.fail_after:
                    ended = True
                    raise self.failure
                await asyncio.sleep(0)
                yield output
            ended = True
        finally:
            if not ended:
                self.aborted.append(request.id)
            # Last, since tests in other threads wait for it.
            self.running.discard(request.id)

    def end_thoughts(self, request_id: str, owner: str) -> bool | None:
        for request in self.requests:
            if request.id == request_id in self.running and request.owner == owner:
                self.ended_thoughts.append(request_id)
                return request.reasoning is not None and request.reasoning.is_controlled
        return None

    def check_room(self, owner: str, weight: float, num_choices: int) -> None:
        """There is always room."""

    def subscribe_blocks(
        self, listener: Callable[[Sequence[BlockEvent]], None], root: bytes = b""
    ) -> Callable[[], None]:
        self.block_listeners.append((listener, root))
        return lambda: self.block_listeners.remove((listener, root))

    async def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """Vectors that tell the pooling, and the number, the first and the last of the tokens."""
        self.embedded.append(request)
        self.running.add(request.id)
        ended = False
        try:
            for index, ids in reversed(list(enumerate(request.inputs))):
                while self.hold_after is not None:
                    await asyncio.sleep(0.002)
                numbers = np.array([len(request.pooling), len(ids), ids[0], ids[-1]], "<f4")
                vector = numbers / np.linalg.norm(numbers)
                yield EmbedOutput(request_id=request.id, index=index, vector=vector.tobytes())
            ended = True
        finally:
            if not ended:
                self.aborted.append(request.id)
            # Last, since tests in other threads wait for it.
            self.running.discard(request.id)

    def _outputs(self, request: GenerationRequest) -> list[TokenOutput]:
        if request.probes:
            return [self._probed(request)]
        limit = request.params.max_tokens
        turns: list[tuple[int, TokenOutput]] = []
        if request.tells_progress:
            turns += [(-1, _progress(request, parts)) for parts in range(3)]
        for index in range(request.n):
            pieces = self.script(request, index)
            kept = pieces[:limit]
            offset = 0
            if limit == 0:
                turns.append(
                    (0, TokenOutput(request_id=request.id, index=index, finish_reason=FinishReason.LENGTH))
                )
            for turn, piece in enumerate(kept):
                reason = FinishReason.LENGTH if len(kept) < len(pieces) else FinishReason.STOP
                output = TokenOutput(
                    request_id=request.id,
                    index=index,
                    text=piece,
                    finish_reason=reason if turn == len(kept) - 1 else None,
                    num_completion_tokens=turn + 1,
                    num_cached_tokens=len(request.token_ids) // 2,
                    num_reasoning_tokens=self.num_reasoning_tokens,
                    token_ids=tuple(piece.encode()) if request.tells_token_ids else (),
                    logprobs=_entries(piece.encode(), request.params.num_logprobs, offset),
                    prompt_logprobs=()
                    if turn
                    else _entries(request.token_ids[1:], request.num_prompt_logprobs),
                )
                turns.append((turn, output))
                offset += len(piece)
        return [output for _, output in sorted(turns, key=lambda pair: pair[0])]

    def _probed(self, request: GenerationRequest) -> TokenOutput:
        first = len(request.token_ids) - len(request.probes) + 1
        entries = tuple(
            TokenLogprob(token_id, self.probe(request.token_ids[:place], token_id))
            for place, asked in enumerate(request.probes, first)
            for token_id in asked
        )
        return TokenOutput(
            request_id=request.id,
            finish_reason=FinishReason.LENGTH,
            num_cached_tokens=len(request.token_ids) // 2,
            prompt_logprobs=entries,
        )


def _progress(request: GenerationRequest, parts: int) -> TokenOutput:
    """Half of the prompt was there; the rest is computed in two parts."""
    num_cached = len(request.token_ids) // 2
    num_computed = num_cached + (len(request.token_ids) - num_cached) * parts // 2
    return TokenOutput(
        request_id=request.id, num_cached_tokens=num_cached, progress=PromptProgress(num_computed, parts / 8)
    )


def _entries(token_ids: Sequence[int], num_top: int | None, offset: int = 0) -> tuple[TokenLogprob, ...]:
    """Something to tell of each token: the next byte, and so on, would have been likelier."""
    return tuple(
        TokenLogprob(
            token_id=token_id,
            logprob=-1.5 if token_id >= 0 else math.nan,
            top=packed_top(
                [(token_id + step) % 128 for step in range(1, num_top + 1)],
                [-step / 4 for step in range(1, num_top + 1)],
            ),
            offset=offset + place,
            rank=num_top + 1,
        )
        for place, token_id in enumerate(token_ids if num_top is not None else ())
        if num_top is not None
    )


@functools.lru_cache
def local_template(source: str = CHATML, bos_text: str = "") -> LocalTemplate:
    """A template in this process; each is tried once."""
    return LocalTemplate(source, bos_token=bos_text, call_text=recognise(source).tools.call_text())


def loaded_model(
    engine: ScriptedEngine | None = None,
    *,
    vocab: FakeVocab | None = None,
    template: str = CHATML,
    bos_text: str = "",
    name: str = "fake",
) -> LoadedModel:
    """A model over fakes."""
    return LoadedModel(
        id=name,
        vocab=vocab or FakeVocab(),
        template=local_template(template, bos_text),
        family=recognise(template),
        engine=engine or ScriptedEngine(),
        bos_text=bos_text,
        metadata={},
        fingerprint="fake",
        close=lambda: None,
    )


def spec_of(
    model: LoadedModel, *, preload: bool = True, pinned: bool = False, need: int = 1, idle_unload: float = 0.0
) -> ModelSpec:
    """A model over fakes as a registry is offered it; `fake` answers to `org/other-name`, too."""
    return ModelSpec(
        id=model.id,
        aliases=("org/other-name",) if model.id == "fake" else (),
        created=1_700_000_000,
        preload=preload,
        pinned=pinned,
        idle_unload=idle_unload,
        operator_defaults=model.operator_defaults,
        estimate_need=lambda: Need(need),
        make_engine=lambda: model.engine,
        start_encoder=None if model.encoder is None else functools.partial(_started, model.encoder),
        open=lambda _engine: model,
        read_metadata=lambda: model.metadata,
        read_context=lambda: ContextLength(256, 1024),
        try_templates=lambda: model.template_summary,
    )


async def _started(encoder: MediaEncoder) -> MediaEncoder:
    return encoder


def registry_over(*models: LoadedModel) -> ModelRegistry:
    """A registry of models over fakes, all to be loaded at its start."""
    return ModelRegistry([spec_of(model) for model in models])
