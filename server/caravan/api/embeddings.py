"""Texts into vectors, as OpenAI's embeddings route has it."""

import base64
import contextlib
import time
import uuid
from dataclasses import dataclass

import msgspec
import numpy as np
from caravan_schemas.embeddings import EmbeddingRequest, OutputType
from numpy.typing import NDArray

from caravan.api.completions import named
from caravan.api.context import RequestContext
from caravan.api.prompt import tokenize
from caravan.api.prompt.tokenize import PromptRules
from caravan.auth.principal import Principal
from caravan.engine.embedding.values import EmbedRequest, ModelTraits, Pooling
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread

# Of all inputs together: they go to the engine in one message.
MAX_TOKENS = 1_048_576
# Characters, or token ids, of all inputs together that are read in a few milliseconds.
_LONG = 65_536
# Of these types a number has the signs of eight.
_BITS = ("binary", "ubinary")
# Vectors that are written in a few milliseconds.
FEW = 16


@dataclass(frozen=True)
class Embedded:
    """The vectors of all inputs, as bytes of float32, and what it took to make them."""

    vectors: list[bytes]
    num_tokens: int
    load_seconds: float


class EmbeddingService:
    """Serves `POST /v1/embeddings` for all models of a registry."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def create(self, request: EmbeddingRequest, context: RequestContext) -> list[bytes]:
        """Write the answer as JSON, in pieces. Cancelling it aborts the work in the engine."""
        found = await self.embed(request, context)
        run = in_thread if len(found.vectors) <= FEW else in_busy_thread
        return await run(_answer, request, found.vectors, found.num_tokens)

    async def embed(self, request: EmbeddingRequest, context: RequestContext) -> Embedded:
        """Make the vectors. Cancelling it aborts the work in the engine."""
        who, begun = context.principal.asking(request.priority), time.monotonic()
        async with context.holding(self._registry, request.model) as model:
            load_seconds = time.monotonic() - begun
            pooling = _pooling(request, model.engine.traits)
            read = in_busy_thread if _size(request) > _LONG else in_thread
            async with model.threads.held(who.id, who.weight):
                inputs = await read(_inputs, model, request)
            vectors = await vectors_of(model, inputs, pooling, context, who)
        return Embedded(vectors, sum(map(len, inputs)), load_seconds)


async def vectors_of(
    model: LoadedModel,
    inputs: tuple[tuple[int, ...], ...],
    pooling: Pooling,
    context: RequestContext,
    who: Principal,
) -> list[bytes]:
    """Compute the vector of each input, charged and counted. Cancelling it aborts the work in the engine."""
    if model.lora:
        message = f"'{model.lora[0][0]}' is an adapter; vectors are made by '{model.id}' itself."
        raise InvalidRequestError(message, param="model", code="invalid_value")
    wanted = EmbedRequest(
        id=f"embd-{uuid.uuid4().hex}",
        inputs=inputs,
        pooling=pooling,
        owner=who.id,
        weight=who.weight,
        priority=who.priority,
    )
    vectors = [b""] * len(inputs)
    charge = context.charged(model.id, sum(map(len, inputs)))
    async with charge, contextlib.aclosing(model.engine.embed(wanted)) as outputs:
        async for output in outputs:
            vectors[output.index] = output.vector
    return vectors


def _pooling(request: EmbeddingRequest, traits: ModelTraits) -> Pooling:
    """Choose how to pool; raises InvalidRequestError over what this model cannot do."""
    if traits.pooling is Pooling.RANK:
        message = f"'{request.model}' scores pairs of texts; it makes no embeddings."
        raise InvalidRequestError(message, param="model", code="invalid_value")
    size = _dimensions(request) or traits.embedding_size
    if size > traits.embedding_size:
        param = "dimensions" if request.dimensions else "output_dimension"
        raise InvalidValueError(
            param, f"must be at most {traits.embedding_size}, the length of this model's vectors"
        )
    if request.output_dtype in _BITS and size % 8:
        complaint = f"'{request.output_dtype}' packs 8 numbers into one; {size} is no multiple of that"
        raise InvalidValueError("output_dtype", complaint)
    if request.pooling == "cls" and traits.can_generate:
        # A token that sees nothing behind it would be the same vector for every text.
        message = "'pooling' 'cls' is not supported by this model: its first token does not see the others."
        raise UnsupportedParameterError(message, param="pooling")
    return Pooling(request.pooling or traits.pooling)


def _dimensions(request: EmbeddingRequest) -> int | None:
    """Return how many numbers a vector is to have, by either name; raises InvalidValueError."""
    if request.dimensions and request.output_dimension not in (None, request.dimensions):
        raise InvalidValueError("output_dimension", "and 'dimensions' are two names of one parameter")
    return request.dimensions or request.output_dimension


def _size(request: EmbeddingRequest) -> int:
    if isinstance(request.input, str):
        return len(request.input)
    return sum(1 if isinstance(given, int) else len(given) for given in request.input)


def _inputs(model: LoadedModel, request: EmbeddingRequest) -> tuple[tuple[int, ...], ...]:
    rules = PromptRules.of(request, model.context_size)
    inputs, num_tokens = [], 0
    for param, given in named(request.input, "input"):
        inputs.append(_input(model, given, param, rules))
        num_tokens += len(inputs[-1])
        if num_tokens > MAX_TOKENS:
            raise InvalidValueError(
                "input", f"must have at most {MAX_TOKENS} tokens in all; it has more by '{param}'"
            )
    return tuple(inputs)


def _input(model: LoadedModel, given: str | list[int], param: str, rules: PromptRules) -> tuple[int, ...]:
    if isinstance(given, str):
        token_ids = tokenize.read_ids(model, given, param=param, rules=rules) if given else []
    else:
        tokenize.check_ids(model, given, param=param)
        token_ids = rules.cut(model, given, None)
    if not token_ids:
        raise InvalidValueError(param, "must not be empty")
    tokenize.check_fits(model, len(token_ids), param=param)
    return tuple(token_ids)


def _answer(request: EmbeddingRequest, vectors: list[bytes], num_tokens: int) -> list[bytes]:
    """Write the JSON vector by vector, without the schema: there may be millions of numbers."""
    data, comma = [b'{"id":"embd-%b","object":"list","data":[' % uuid.uuid4().hex.encode()], b""
    for index, vector in enumerate(vectors):
        numbers = quantized(numbers_of(vector, _dimensions(request)), request.output_dtype)
        is_text = request.encoding_format == "base64"
        shown = base64.b64encode(numbers.tobytes()).decode() if is_text else numbers.tolist()
        data.append(comma + msgspec.json.encode({"object": "embedding", "index": index, "embedding": shown}))
        comma = b","
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    data.append(
        b'],"model":%b,"usage":%b}' % (msgspec.json.encode(request.model), msgspec.json.encode(usage))
    )
    return data


def numbers_of(data: bytes, dimensions: int | None) -> NDArray[np.float32]:
    """Read a vector; of its first `dimensions` alone, scaled to length 1 again."""
    vector = np.frombuffer(data, "<f4")
    if dimensions is None:
        return vector
    kept = vector[:dimensions].astype(np.float64)
    return (kept / (float(np.linalg.norm(kept)) or 1.0)).astype("<f4")


def quantized(vector: NDArray[np.float32], kind: OutputType | None) -> NDArray[np.generic]:
    """Make the numbers of a vector of length 1 small: one byte each, or one bit."""
    match kind:
        case "int8":
            return np.rint(vector * 127).astype(np.int8)
        case "uint8":
            return (np.rint(vector * 127) + 128).astype(np.uint8)
        case "ubinary":
            return np.packbits(vector > 0)
        case "binary":
            return (np.packbits(vector > 0) ^ np.uint8(128)).view(np.int8)
    return vector
