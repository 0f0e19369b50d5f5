"""Texts with markers, and a model that writes what a test tells it to, for the tests of the guide."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from caravan.engine.params import GenerationRequest, Reasoning, SamplingParams
from caravan.grammars.constraint import Constraint
from numpy.typing import NDArray

from tests.engine.harness import Harness
from tests.fakes import FakeContext

# Ids 0 to 255 are bytes.
PIECES = (
    *(b"</", b"think", b">\n\n", b"think>{", b"<t", b"all", b"a<t", b"<tool>", b"<tool>(", b"<tool>[", b"ab"),
    *(b"\n\n", b"  ", b'{"', b'"}', b"name", b'":', b" the"),
)
CONTROLS = (b"<think>", b"</think>", b"<call>", b"<end>")
FIRST_CONTROL = 256 + len(PIECES)
OPEN, CLOSE, CALL, END = range(FIRST_CONTROL, FIRST_CONTROL + len(CONTROLS))
SIZE = END + 1


class MarkerVocab:
    """Bytes, some longer tokens, and control tokens, of which the last ends generation."""

    size = SIZE
    marker_ids: frozenset[int] = frozenset()
    end_of_generation_ids = frozenset([END])

    def token_bytes(self, token_id: int) -> bytes:
        if token_id < 256:
            return bytes([token_id])
        return PIECES[token_id - 256] if token_id < FIRST_CONTROL else b""

    def raw_bytes(self, token_id: int) -> bytes:
        return self.token_bytes(token_id) or CONTROLS[token_id - FIRST_CONTROL]

    def spell(self, text: str) -> list[int]:
        return ids(text)


def ids(*parts: str | int) -> list[int]:
    """Token ids of text, longest tokens first from the left, and of tokens given as they are."""
    found: list[int] = []
    for part in parts:
        if isinstance(part, int):
            found.append(part)
            continue
        rest = part.encode()
        while rest:
            longest = max((p for p in PIECES if rest.startswith(p)), key=len, default=b"")
            found.append(256 + PIECES.index(longest) if longest else rest[0])
            rest = rest[len(longest) or 1 :]
    return found


class ScriptedContext(FakeContext):
    """Wants to write `script` after a prompt of `num_prompt` tokens, then `<end>`.

    What may not come is passed over for the token next in the script that may.
    """

    def __init__(self, script: Sequence[int], num_prompt: int = 3, num_cells: int = 4096) -> None:
        super().__init__(vocab_size=SIZE, num_cells=num_cells)
        self.script = script
        self.num_prompt = num_prompt

    def _row(self, tokens: list[int]) -> NDArray[np.float32]:
        row = np.arange(SIZE, dtype=np.float32)
        place = 0
        for token_id in tokens[self.num_prompt :]:
            if token_id in self.script[place:]:
                place = self.script.index(token_id, place) + 1
        wanted = [*self.script[place:], END]
        for rank, token_id in reversed(list(enumerate(wanted))):
            row[token_id] = 1000 - 10 * rank
        return row


class Scripted(Harness):
    """An engine over a scripted model."""

    vocab = MarkerVocab()

    def __init__(self, *script: str | int, num_cells: int = 4096, num_sampling_threads: int = 1) -> None:
        context = ScriptedContext(ids(*script), num_cells=num_cells)
        super().__init__(context, batch_size=64, num_sampling_threads=num_sampling_threads)

    def answer(self, request: GenerationRequest) -> tuple[str, str]:
        """Text and finish reason of a request's only choice."""
        text = self.run([request])[request.id, 0]
        (reason,) = self.reasons()[request.id, 0]
        return text, reason.value

    @property
    def last(self) -> tuple[int, int]:
        """The last totals told: tokens, and tokens of thinking among them."""
        output = self.outputs[-1]
        return output.num_completion_tokens, output.num_reasoning_tokens


def guided(
    constraint: Constraint | None = None,
    reasoning: Reasoning | None = None,
    *,
    name: str = "r",
    shown: Iterable[int] = (OPEN, CLOSE, CALL),
    **params: object,
) -> GenerationRequest:
    """A greedy request with markers shown."""
    settings = msgspec.convert({"temperature": 0.0, "max_tokens": 60, **params}, SamplingParams)
    return GenerationRequest(
        id=name,
        token_ids=(1, 2, 3),
        params=settings,
        constraint=constraint,
        reasoning=reasoning,
        shown_token_ids=tuple(shown),
    )


def thoughts(*, is_open: bool = True, budget: int | None = None, **changes: object) -> Reasoning:
    """Reasoning between the control tokens `<think>` and `</think>`."""
    plain = Reasoning("<think>", "</think>", is_open, budget, (CLOSE,), (OPEN,))
    return msgspec.structs.replace(plain, **changes)
