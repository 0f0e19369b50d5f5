"""Chat completions: messages into a prompt, and the prompt into an answer."""

import anyio.to_thread

from schemas.chat import ChatCompletionRequest
from server.chat.messages import normalize
from server.loaded_model import LoadedModel
from server.registry import ModelRegistry
from server.service import sampling
from server.service.answers import Answer
from server.service.choices import ChatShape, Identity
from server.service.constraints.compiler import ConstraintCompiler, constraint, verdict
from server.service.generation import Generation, Guidance
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
        compiled = await self._constraints.compile(request)
        identity = Identity.new("chatcmpl", request.model)
        guidance = Guidance(constraint=constraint(compiled))
        return Answer(
            Generation(model, identity.id, [token_ids], plan.params, plan.num_drawn, guidance),
            ChatShape(identity, with_usage=with_usage),
            plan,
            verdict(compiled, plan.params),
            stream=bool(request.stream),
            with_usage=with_usage,
        )

    def _read(self, model: LoadedModel, request: ChatCompletionRequest) -> tuple[Plan, tuple[int, ...]]:
        return self._decoding.plan(request, model), _prompt(model, request)


def _prompt(model: LoadedModel, request: ChatCompletionRequest) -> tuple[int, ...]:
    text = model.template.render(normalize(request.messages, model.template))
    return tokenized(model, text, param="messages")
