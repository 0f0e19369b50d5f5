"""What an answer says, as lines of Ollama's API. The whole answer is what its lines add up to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from caravan_schemas.base import Schema
from caravan_schemas.ollama import OllamaCall, OllamaCalledFunction
from caravan_schemas.ollama_answers import OllamaChatAnswer, OllamaGenerateAnswer, OllamaReply
from pydantic_core import from_json

from caravan.api.output.logprobs import LogprobWriter
from caravan.api.structured.checker import Call
from caravan.engine.outputs import TokenLogprob

Kind = Literal["chat", "generate"]


@dataclass(frozen=True)
class Piece:
    """What one output of the engine adds: texts, calls that are complete, what is told of tokens."""

    content: str = ""
    thinking: str = ""
    calls: tuple[Call, ...] = ()
    logprobs: Sequence[TokenLogprob] = ()

    def __bool__(self) -> bool:
        return bool(self.content or self.thinking or self.calls or self.logprobs)


def joined(pieces: Iterable[Piece]) -> Piece:
    """Add pieces up."""
    all_pieces = list(pieces)
    return Piece(
        "".join(piece.content for piece in all_pieces),
        "".join(piece.thinking for piece in all_pieces),
        tuple(call for piece in all_pieces for call in piece.calls),
        [entry for piece in all_pieces for entry in piece.logprobs],
    )


def moment(seconds: float | None = None) -> str:
    """Write a time, or now, as RFC 3339 has it."""
    time = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return time.isoformat().replace("+00:00", "Z")


class LineWriter:
    """Writes the lines of one answer. Calls are numbered through all of them."""

    def __init__(self, kind: Kind, model: str) -> None:
        self._kind = kind
        self._model = model
        self._num_calls = 0

    def line(
        self, piece: Piece, logprobs: LogprobWriter | None, last: Mapping[str, object] | None = None
    ) -> Schema:
        """Write a line; `last` has what the last one tells."""
        line = self._said(piece, is_last=last is not None)
        if logprobs is not None and piece.logprobs:
            line.logprobs = logprobs.chat(piece.logprobs).content
        for name, value in (last or {}).items():
            setattr(line, name, value)
        return line

    def _said(self, piece: Piece, *, is_last: bool) -> OllamaChatAnswer | OllamaGenerateAnswer:
        now = moment()
        if self._kind == "generate":
            text = OllamaGenerateAnswer(
                model=self._model, created_at=now, response=piece.content, done=is_last
            )
            if piece.thinking:
                text.thinking = piece.thinking
            return text
        reply = OllamaReply(role="assistant", content=piece.content)
        if piece.thinking:
            reply.thinking = piece.thinking
        if piece.calls:
            reply.tool_calls = [self._call(call) for call in piece.calls]
        return OllamaChatAnswer(model=self._model, created_at=now, message=reply, done=is_last)

    def _call(self, call: Call) -> OllamaCall:
        index, self._num_calls = self._num_calls, self._num_calls + 1
        arguments = from_json(call.text) if call.text else {}
        return OllamaCall(
            id=call.id, function=OllamaCalledFunction(index=index, name=call.name, arguments=arguments)
        )
