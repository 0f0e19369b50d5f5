"""Stand-ins for the engine and the vocabulary, whose answers are exact functions of the request."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

from server.chat.template import CHATML, ChatTemplate
from server.engine.outputs import EngineStats, FinishReason, TokenOutput
from server.engine.params import GenerationRequest
from server.loaded_model import LoadedModel

BOS_ID = 256
SPECIALS = {"<s>": BOS_ID, "<|im_start|>": 257, "<|im_end|>": 258}


class FakeVocab:
    """One token per byte, and a few special ones. `with_bos` decides whether there is a BOS."""

    def __init__(self, *, with_bos: bool = False) -> None:
        self.size = 259
        self.bos_id = BOS_ID if with_bos else None

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        token_ids = [BOS_ID] if add_special and self.bos_id is not None else []
        while text:
            special = next((word for word in SPECIALS if parse_special and text.startswith(word)), None)
            token_ids.extend([SPECIALS[special]] if special else text[0].encode())
            text = text[len(special or text[0]) :]
        return token_ids


Script = Callable[[GenerationRequest, int], Sequence[str]]


def echo_words(request: GenerationRequest, index: int) -> list[str]:
    """Pieces that name the prompt's length, the choice and the seed."""
    return [f"prompt of {len(request.token_ids)}", f" choice {index}", f" seed {request.params.seed}"]


class ScriptedEngine:
    """Says what its script says, a piece a time, choices taking turns.

    `pause` is awaited before each piece. `failure` is raised after `fail_after` pieces. `running` and `aborted`
    tell what became of requests.
    """

    def __init__(self, script: Script = echo_words, *, context_size: int = 512) -> None:
        self.script = script
        self.context_size = context_size
        self.is_ready = False
        self.pause: Callable[[], asyncio.Future[None]] | None = None
        self.failure: Exception | None = None
        self.fail_after = 0
        self.requests: list[GenerationRequest] = []
        self.running: set[str] = set()
        self.aborted: list[str] = []
        self.closed = False

    async def start(self) -> None:
        self.is_ready = True

    async def close(self) -> None:
        self.closed = True

    def stats(self) -> EngineStats:
        return EngineStats(num_running=len(self.running))

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        self.requests.append(request)
        self.running.add(request.id)
        finished = False
        try:
            count = 0
            for output in self._outputs(request):
                if self.pause is not None:
                    await self.pause()
                if self.failure is not None and count >= self.fail_after:
                    finished = True
                    raise self.failure
                count += 1
                yield output
            finished = True
        finally:
            self.running.discard(request.id)
            if not finished:
                self.aborted.append(request.id)

    def _outputs(self, request: GenerationRequest) -> list[TokenOutput]:
        outputs = []
        limit = request.params.max_tokens
        for index in range(request.n):
            pieces = list(self.script(request, index))
            is_cut = limit is not None and limit < len(pieces)
            pieces = pieces[:limit]
            for position, piece in enumerate(pieces):
                last = position == len(pieces) - 1
                reason = (FinishReason.LENGTH if is_cut else FinishReason.STOP) if last else None
                outputs.append(
                    (
                        position,
                        TokenOutput(
                            request_id=request.id,
                            index=index,
                            text=piece,
                            finish_reason=reason,
                            num_completion_tokens=position + 1,
                            num_cached_tokens=len(request.token_ids) // 2,
                        ),
                    )
                )
        return [output for _, output in sorted(outputs, key=lambda pair: pair[0])]


def loaded_model(
    engine: ScriptedEngine | None = None,
    *,
    vocab: FakeVocab | None = None,
    template: str = CHATML,
    bos_text: str = "",
) -> LoadedModel:
    """A model over fakes; it answers to `fake` and `org/other-name`."""
    return LoadedModel(
        id="fake",
        aliases=("org/other-name",),
        created=1_700_000_000,
        vocab=vocab or FakeVocab(),
        template=ChatTemplate(template, bos_token=bos_text),
        engine=engine or ScriptedEngine(),
        bos_text=bos_text,
        longest_token=16,
        metadata={},
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen; a test that waits for ever is stopped here."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)
    assert condition()
