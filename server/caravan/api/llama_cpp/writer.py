"""What an answer says, as documents of llama.cpp's API: one for the whole, or events and a last one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from caravan_schemas.llama_cpp import LlamaFields

from caravan.api.llama_cpp.settings import generation_settings
from caravan.api.output.answer_format import told_progress
from caravan.api.run import num_numbers
from caravan.api.timing import ChoiceTimes
from caravan.engine.outputs import FinishReason, TokenLogprob, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.models.loaded_model import LoadedModel

_MILLISECONDS = 1000
# There are no slots.
_NO_SLOT = -1

Document = dict[str, object]


@dataclass
class Answer:
    """One text that is being made. `prompt` is what it continues; a stream's `outputs` are those that no
    event has told of.
    """

    index: int
    prompt: Sequence[int]
    times: ChoiceTimes
    outputs: list[TokenOutput] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, output: TokenOutput) -> None:
        """Take an output."""
        self.times.output(output)
        self.outputs.append(output)
        self.texts.append(output.text)

    @property
    def last(self) -> TokenOutput:
        """The newest output."""
        return self.outputs[-1]

    @property
    def text(self) -> str:
        """All that has been said."""
        return "".join(self.texts)

    @property
    def num_untold(self) -> int:
        """How many log probabilities no event has told of."""
        return sum(num_numbers(output.logprobs) for output in self.outputs)

    @property
    def size(self) -> int:
        """How much all of it is: characters, tokens of the prompt, and log probabilities."""
        return self.num_untold + sum(map(len, self.texts)) + len(self.prompt)


class AnswerWriter:
    """Writes the answers of one request."""

    def __init__(self, request: LlamaFields, made: GenerationRequest, model: LoadedModel) -> None:
        self._request = request
        self._params, self._lora = made.params, made.lora
        self._model = model
        self._vocab = model.vocab

    def event(self, answer: Answer) -> Document:
        """Write what has come since the last event."""
        document = self._begun(answer, "".join(output.text for output in answer.outputs), is_last=False)
        if self._request.timings_per_token:
            document["timings"] = _timings(answer)
        return document

    def progress(self, answer: Answer, output: TokenOutput) -> Document:
        """Write how much of a prompt is computed."""
        told = told_progress(output, answer.prompt).model_dump()
        return self._begun(answer, "", is_last=False) | {"prompt_progress": told}

    def whole(self, answer: Answer) -> Document:
        """Write the document of an answer that has ended; in a stream, without what events have told."""
        last, prompt = answer.last, answer.prompt
        num_tokens = len(prompt) + last.num_completion_tokens
        is_word = last.stop_string is not None
        is_limit = last.finish_reason is FinishReason.LENGTH
        document = self._begun(answer, "" if self._request.stream else answer.text, is_last=True) | {
            "model": self._request.model,
            "generation_settings": generation_settings(
                self._params, self._lora, self._model.adapters, stream=bool(self._request.stream)
            )
            | {"grammar": self._request.grammar or ""},
            "prompt": b"".join(map(self._vocab.raw_bytes, prompt)).decode(errors="replace"),
            "has_new_line": any("\n" in text for text in answer.texts),
            "truncated": is_limit and num_tokens >= self._model.context_size,
            "stop_type": "limit" if is_limit else "word" if is_word else "eos",
            "stopping_word": last.stop_string or "",
            # Those whose keys and values are in memory now. The last one that was drawn has none.
            "tokens_cached": num_tokens - bool(last.num_completion_tokens),
            "timings": _timings(answer),
        }
        return _chosen(document, self._request.response_fields)

    def _begun(self, answer: Answer, content: str, *, is_last: bool) -> Document:
        is_told = not (is_last and self._request.stream)
        tokens = [i for output in answer.outputs for i in output.token_ids] if is_told else []
        document: Document = {
            "index": answer.index,
            "content": content,
            "tokens": tokens,
            "id_slot": _NO_SLOT,
            "stop": is_last,
            "tokens_predicted": answer.outputs[-1].num_completion_tokens if answer.outputs else 0,
            "tokens_evaluated": len(answer.prompt),
        }
        entries = [entry for output in answer.outputs for entry in output.logprobs] if is_told else []
        if entries:
            document["completion_probabilities"] = list(map(self._probability, entries))
        return document

    def _probability(self, entry: TokenLogprob) -> msgspec.Raw:
        """Write an entry by itself: one call into C for all of them would hold the interpreter's lock."""
        name, top = ("prob", "top_probs") if self._params.tells_drawn else ("logprob", "top_logprobs")
        likeliest = zip(entry.top_ids, entry.top_logprobs, strict=True)
        told = self._token(entry.token_id, entry.logprob, name) | {
            top: [self._token(token_id, logprob, name) for token_id, logprob in likeliest]
        }
        return msgspec.Raw(msgspec.json.encode(told))

    def _token(self, token_id: int, logprob: float, name: str) -> Document:
        data = self._vocab.token_bytes(token_id)
        value = math.exp(logprob) if name == "prob" else logprob
        return {"id": token_id, "token": data.decode(errors="ignore"), "bytes": list(data), name: value}


def _timings(answer: Answer) -> Document:
    num_cached, num_predicted = answer.last.num_cached_tokens, answer.last.num_completion_tokens
    times = answer.times
    return {
        "cache_n": num_cached,
        **_rates("prompt", len(answer.prompt) - num_cached, times.prompt_seconds),
        **_rates("predicted", num_predicted, times.answer_seconds),
    }


def _rates(name: str, count: int, seconds: float) -> Document:
    return {
        f"{name}_n": count,
        f"{name}_ms": seconds * _MILLISECONDS,
        f"{name}_per_token_ms": seconds * _MILLISECONDS / count if count else 0.0,
        f"{name}_per_second": count / seconds if seconds else 0.0,
    }


def _chosen(document: Document, paths: Iterable[str] | None) -> Document:
    """Take the fields at these paths, each under its whole path."""
    if not paths:
        return document
    found: Document = {}
    for path in paths:
        value: object = document
        for name in path.split("/"):
            value = value.get(name, ...) if isinstance(value, Mapping) else ...
        if value is not ...:
            found[path] = value
    return found
