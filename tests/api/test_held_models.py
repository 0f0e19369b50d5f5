"""A request that is given up while a thread works for it holds its model until that thread has ended."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest
from caravan.api.chat import ChatService
from caravan.api.completion_run import CompletionRun
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.embeddings import EmbeddingService
from caravan.api.output.encoding import Document
from caravan.api.params.decoding_plan import DecodingPlanner, RequestLimits
from caravan.api.prompt.media import MediaPrompts
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.tokenize import TokenService
from caravan.auth.principal import ANONYMOUS
from caravan.media.fetching import ImageFetcher
from caravan.media.reader import MediaReader
from caravan.models import ModelRegistry
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.tokenize import DetokenizeRequest, TokenizeRequest

from tests.fakes_web import FakeVocab, loaded_model, spec_of
from tests.waiting import PATIENCE, until

HI = [{"role": "user", "content": "Hi"}]
NAMED_TOKEN = 'root ::= "a" <[98]>'


class SlowVocab(FakeVocab):
    """Takes as long as a test wants, and knows whether it was asked anything after it was freed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.is_freed = False
        self.was_asked_too_late = False

    def free(self) -> None:
        self.is_freed = True

    def raw_bytes(self, token_id: int) -> bytes:
        self._wait()
        return super().raw_bytes(token_id)

    def token_text(self, token_id: int) -> str:
        self._wait()
        return super().token_text(token_id)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self._wait()
        return super().tokenize(text, add_special=add_special, parse_special=parse_special)

    def _wait(self) -> None:
        if self.is_slow:
            self.is_asked.set()
            assert self.may_answer.wait(PATIENCE)
            self.was_asked_too_late |= self.is_freed


class House:
    """One model whose vocabulary is slow, and all services over it."""

    def __init__(self) -> None:
        self.vocab = SlowVocab()
        model = loaded_model(vocab=self.vocab)
        object.__setattr__(model, "close", self.vocab.free)
        self.registry = ModelRegistry([spec_of(model)], load_wait_seconds=0.05)
        decoding = DecodingPlanner(RequestLimits(max_choices=4, max_prompts=4), presets={})
        constraints = ConstraintCompiler()
        media = MediaPrompts(MediaReader(ImageFetcher([]), 1))
        self.chat = ChatService(self.registry, decoding, constraints, media)
        self.completions = CompletionService(self.registry, decoding, constraints)
        self.embeddings = EmbeddingService(self.registry)
        self.tokens = TokenService(self.registry, media)


async def joined(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def whole(run: CompletionRun) -> Document:
    async with run:
        return await run.whole()


NOBODY = RequestContext()
Ask = Callable[[House], Coroutine[Any, Any, Document]]
ASKERS: dict[str, Ask] = {
    "chat": lambda house: whole(
        house.chat.run(ChatCompletionRequest.model_validate({"model": "fake", "messages": HI}), NOBODY)
    ),
    "completion": lambda house: whole(
        house.completions.run(CompletionRequest.model_validate({"model": "fake", "prompt": "Hi"}), NOBODY)
    ),
    "grammar": lambda house: whole(
        house.completions.run(
            CompletionRequest.model_validate({"model": "fake", "prompt": [72], "grammar": NAMED_TOKEN}),
            NOBODY,
        )
    ),
    "embedding": lambda house: house.embeddings.create(
        EmbeddingRequest.model_validate({"model": "fake", "input": "Hi"}), NOBODY
    ),
    "tokenize": lambda house: joined(
        house.tokens.tokenize(TokenizeRequest.model_validate({"model": "fake", "prompt": "Hi"}), NOBODY)
    ),
    "detokenize": lambda house: house.tokens.detokenize(
        DetokenizeRequest.model_validate({"model": "fake", "tokens": [72]}), NOBODY
    ),
    "a conversation": lambda house: joined(
        house.tokens.tokenize(TokenizeRequest.model_validate({"model": "fake", "messages": HI}), NOBODY)
    ),
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("asker", ASKERS)
def test_a_vocabulary_is_not_freed_under_a_thread(asker: str, times: int) -> None:
    async def test() -> None:
        house = House()
        await house.registry.start()
        house.vocab.is_slow = True
        asking = asyncio.create_task(ASKERS[asker](house))
        try:
            await until(house.vocab.is_asked.is_set)
            unloading = asyncio.create_task(house.registry.unload("fake", ANONYMOUS))
            for _ in range(times):
                asking.cancel()
                await asyncio.sleep(0.02)
            await unloading
            assert not house.vocab.is_freed
            house.vocab.may_answer.set()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: house.vocab.is_freed)
            await asyncio.sleep(0.02)
            assert not house.vocab.was_asked_too_late
        finally:
            house.vocab.may_answer.set()
            await house.registry.close()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def test_whoever_is_cancelled_twice_lets_the_model_go_all_the_same() -> None:
    async def test() -> None:
        house = House()
        await house.registry.start()
        house.vocab.is_slow = True
        run = house.chat.run(ChatCompletionRequest.model_validate({"model": "fake", "messages": HI}), NOBODY)
        starting = asyncio.create_task(run.start(PATIENCE))
        await until(house.vocab.is_asked.is_set)
        closing = asyncio.create_task(run.aclose())
        for _ in range(3):
            await asyncio.sleep(0.01)
            closing.cancel()
        house.vocab.may_answer.set()
        await asyncio.gather(starting, closing, return_exceptions=True)
        house.vocab.is_slow = False
        await house.registry.unload("fake", ANONYMOUS)
        await until(lambda: house.vocab.is_freed)
        await house.registry.close()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
