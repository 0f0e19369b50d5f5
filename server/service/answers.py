"""A prepared request: its run in the engine and the shape of its answer, whole or as a stream."""

import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Mapping, Sequence

import anyio.to_thread
import msgspec

from schemas.base import Schema
from schemas.common import FinishReason
from server.engine.outputs import FinishReason as EngineFinishReason
from server.engine.outputs import TokenLogprob, TokenOutput
from server.service.choices import FinishedChoice, Shape
from server.service.constraints.verdict import Verdict
from server.service.generation import Generation
from server.service.plan import Plan

log = logging.getLogger(__name__)

DONE = b"[DONE]"

# Stands for the text while a chunk's constant head and tail are cut out of a real chunk.
_MARK = "\u0001text\u0001"
# Valid in JSON, but a client that splits lines as Unicode does would tear the event there.
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")


class Answer:
    """What a service hands to a route: refused by now if it ever will be, and not yet begun.

    `stream` says which of `events` and `whole` the request asked for. `aclose` must follow, on every path.
    """

    def __init__(
        self,
        generation: Generation,
        shape: Shape,
        plan: Plan,
        verdict: Verdict | None = None,
        *,
        stream: bool,
        with_usage: bool,
    ) -> None:
        self.stream = stream
        self._plan = plan
        self._verdict = verdict
        self._generation = generation
        self._shape = shape
        self._with_usage = with_usage
        self.open = generation.open
        self.aclose = generation.aclose

    async def whole(self) -> bytes:
        """The JSON of the complete answer: the stream's deltas, folded."""
        texts: list[list[str]] = [[] for _ in range(self._generation.num_choices)]
        logprobs: list[list[TokenLogprob]] = [[] for _ in texts]
        last: dict[int, TokenOutput] = {}
        async with contextlib.aclosing(self._generation):
            async for output in self._generation:
                texts[output.index].append(output.text)
                logprobs[output.index].extend(output.logprobs)
                if output.finish_reason is not None:
                    last[output.index] = output
        await self._judge(texts, last)
        kept = self._plan.kept([last[index] for index in range(self._generation.num_choices)])
        choices = [
            FinishedChoice(
                text="".join(texts[output.index]),
                finish_reason=_wire_reason(output.finish_reason),
                logprobs=logprobs[output.index],
            )
            for output in kept
        ]
        return to_json(
            self._shape.whole(choices, self._generation.usage(), self._plan.debug(dict(enumerate(kept))))
        )

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The data of each event, `[DONE]` included; closes the answer when it ends, however it ends."""
        async with contextlib.aclosing(self._generation):
            heads: dict[int, tuple[bytes, bytes]] = {}
            texts: list[list[str]] = [[] for _ in range(self._generation.num_choices)]
            last: dict[int, TokenOutput] = {}
            for index in range(self._generation.num_choices):
                opening = self._shape.opening(index)
                if opening is not None:
                    yield to_json(opening)
            async for output in self._generation:
                if output.text:
                    texts[output.index].append(output.text)
                    if output.logprobs:
                        yield to_json(self._shape.delta(output.index, output.text, output.logprobs))
                    else:
                        if output.index not in heads:
                            heads[output.index] = self._head_and_tail(output.index)
                        head, tail = heads[output.index]
                        yield head + json_string(output.text) + tail
                if output.finish_reason is not None:
                    last[output.index] = output
                    reason, debug = (
                        _wire_reason(output.finish_reason),
                        self._plan.debug({output.index: output}),
                    )
                    left = () if output.text else output.logprobs
                    yield to_json(self._shape.closing(output.index, reason, debug, left))
            if self._with_usage:
                yield to_json(self._shape.usage_chunk(self._generation.usage()))
            yield DONE
            await self._judge(texts, last)

    async def _judge(self, texts: Sequence[Sequence[str]], last: Mapping[int, TokenOutput]) -> None:
        """Hold what has ended by itself against its constraint. A breach is a fault of ours, for the log."""
        if self._verdict is None:
            return
        for index, output in last.items():
            if output.finish_reason is EngineFinishReason.STOP:
                fault = await anyio.to_thread.run_sync(self._verdict.fault, "".join(texts[index]))
                if fault is not None:
                    log.error("answer %s breaks its constraint: %s", output.request_id, fault)

    def _head_and_tail(self, index: int) -> tuple[bytes, bytes]:
        """A text chunk's JSON around its text, encoded once per choice instead of once per token."""
        head, tail = to_json(self._shape.delta(index, _MARK)).split(msgspec.json.encode(_MARK))
        return head, tail


def to_json(document: Schema) -> bytes:
    """The wire form: fields that the builder left out stay out, nulls that it set stay in."""
    return document.model_dump_json(exclude_unset=True).encode()


def json_string(text: str) -> bytes:
    """A JSON string that any reader of lines leaves in one piece."""
    encoded = msgspec.json.encode(text)
    if text.isascii() or not _LINE_BREAKS.search(text):
        return encoded
    return _LINE_BREAKS.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded.decode()).encode()


def _wire_reason(reason: EngineFinishReason | None) -> FinishReason:
    return "length" if reason is EngineFinishReason.LENGTH else "stop"
