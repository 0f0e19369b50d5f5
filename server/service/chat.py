"""Chat completions: messages into a prompt, and the prompt into an answer."""

import anyio.to_thread

from schemas.chat import ChatCompletionRequest
from server.chat.messages import normalize
from server.errors import InvalidRequestError
from server.loaded_model import LoadedModel
from server.registry import ModelRegistry
from server.service import sampling
from server.service.answers import Answer
from server.service.choices import ChatShape, Identity
from server.service.constraints.compiler import ConstraintCompiler, constraint, verdict
from server.service.generation import Generation
from server.service.logprobs import writer
from server.service.plan import Plan
from server.service.prompts import tokenized
from server.service.sampling import Decoding


class ChatService:
    """Serves `POST /v1/chat/completions` for all models of a registry."""

    def __init__(self, registry: ModelRegistry, decoding: Decoding, constraints: ConstraintCompiler) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    async def prepare(self, request: ChatCompletionRequest) -> Answer:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        model = self._registry.acquire(request.model)
        with_usage = sampling.wants_usage_chunk(request)
        # Templates and tokenizers take time that grows with the text; streams of others must not wait for it.
        plan, token_ids = await anyio.to_thread.run_sync(self._read, model, request)
        compiled = await self._constraints.compile(request, model.vocab)
        identity = Identity.new("chatcmpl", request.model)
        return Answer(
            Generation(model, identity.id, [token_ids], plan.params, plan.num_drawn, constraint(compiled)),
            ChatShape(identity, with_usage=with_usage, writer=writer(model.vocab, plan.params)),
            plan,
            verdict(compiled, plan.params),
            stream=bool(request.stream),
            with_usage=with_usage,
        )

    def _read(self, model: LoadedModel, request: ChatCompletionRequest) -> tuple[Plan, tuple[int, ...]]:
        plan = self._decoding.plan(request, model, num_logprobs=_num_logprobs(request))
        return plan, _prompt(model, request)


def _num_logprobs(request: ChatCompletionRequest) -> int | None:
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs:
        message = "'top_logprobs' is only allowed when 'logprobs' is true."
        raise InvalidRequestError(message, param="top_logprobs", code="invalid_value")
    return None


def _prompt(model: LoadedModel, request: ChatCompletionRequest) -> tuple[int, ...]:
    text = model.template.render(normalize(request.messages, model.template))
    return tokenized(model, text, param="messages")
