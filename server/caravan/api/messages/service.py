"""What can be done with Anthropic's Messages API: answer, and count."""

from caravan_schemas.anthropic import CountTokensRequest, MessagesRequest
from caravan_schemas.anthropic_output import TokenCount

from caravan.api.chat import ChatService
from caravan.api.context import RequestContext
from caravan.api.messages.run import MessagesRun
from caravan.api.messages.to_chat import translate
from caravan.api.output.encoding import to_json
from caravan.api.tokenize import TokenService
from caravan.api.validation.rewording import rewording
from caravan.errors import UnsupportedParameterError
from caravan.models import ModelRegistry
from caravan.runtime.threads import in_thread

# At this code, Anthropic's SDK sends the whole conversation instead of what is new in it.
_NO_THREADS = "thread_unsupported_request"


class MessagesService:
    """Serves `POST /v1/messages` and `/v1/messages/count_tokens` for all models of a registry."""

    def __init__(self, registry: ModelRegistry, chat: ChatService, tokens: TokenService) -> None:
        self._registry = registry
        self._chat = chat
        self._tokens = tokens

    def run(self, request: MessagesRequest, context: RequestContext) -> MessagesRun:
        """Make the run of a request; nothing has happened yet. Raises UnsupportedParameterError."""
        if request.thread is not None:
            message = "'thread' is not supported: conversations are not kept here."
            raise UnsupportedParameterError(message, param="thread", code=_NO_THREADS)
        return MessagesRun(self._registry, self._chat, request, context)

    async def count(self, request: CountTokensRequest, context: RequestContext) -> bytes:
        """Count the tokens of the prompt that a message would answer, of any length."""
        async with context.holding(self._registry, request.model) as model:
            context.metrics.model = model.id
            can_think = model.family.reasoning is not None
            translation = await in_thread(lambda: translate(request, can_think=can_think))
            context.metrics.ignore(translation.ignored)
            with rewording(translation.named):
                number = await self._tokens.count(translation.chat, model, context.principal)
            return to_json(TokenCount(input_tokens=number))
