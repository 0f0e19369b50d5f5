"""The stream's response by itself, driven as an ASGI server drives it."""

import asyncio

from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.conversations import ConversationService
from caravan.api.decisions.rank import RankService
from caravan.api.decisions.service import DecisionService
from caravan.api.embeddings import EmbeddingService
from caravan.api.explain.service import ExplainService
from caravan.api.llama_cpp.service import LlamaCppService
from caravan.api.messages.service import MessagesService
from caravan.api.ollama.service import OllamaService
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.responses.service import ResponseService
from caravan.api.status import StatusService
from caravan.api.store import Limits
from caravan.api.store.async_store import AsyncStore
from caravan.api.stored_chats import StoredChatService
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.tokenize import TokenService
from caravan.api.usage import UsageBook
from caravan.config.settings import Settings
from caravan.observability.metrics import Metrics
from caravan.web.dependencies import Services
from caravan.web.request_body import BodyReader
from caravan.web.sse import RunResponse
from caravan_schemas.chat import ChatCompletionRequest
from starlette.types import Message

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.waiting import PATIENCE

REQUEST = b'{"model": "fake", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'


def test_a_client_that_leaves_before_the_head_is_sent_frees_its_sequence() -> None:
    engine = ScriptedEngine()
    engine.hold_after = 1

    is_sending = asyncio.Event()

    async def leave() -> Message:
        await is_sending.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        assert engine.running
        is_sending.set()
        await asyncio.sleep(PATIENCE)

    async def test() -> None:
        registry = registry_over(loaded_model(engine))
        await registry.start()
        decoding = DecodingPlanner()
        constraints = ConstraintCompiler()
        chat = ChatService(registry, decoding, constraints)
        completions = CompletionService(registry, decoding, constraints)
        embeddings = EmbeddingService(registry)
        tokens = TokenService(registry)
        archive = AsyncStore(None, Limits(max_seconds=1, max_bytes=1))
        services = Services(
            registry=registry,
            metrics=Metrics(),
            status=StatusService(registry),
            usage=UsageBook(None),
            decoding=decoding,
            chat=chat,
            chats=StoredChatService(archive),
            completions=completions,
            decisions=DecisionService(registry),
            rank=RankService(registry),
            embeddings=embeddings,
            explanations=ExplainService(registry, decoding, chat, completions),
            llama_cpp=LlamaCppService(registry, decoding, completions, embeddings),
            ollama=OllamaService(registry, decoding, chat, completions, embeddings),
            responses=ResponseService(registry, chat, tokens, archive),
            conversations=ConversationService(archive),
            messages=MessagesService(registry, chat, tokens),
            tokens=tokens,
            bodies=BodyReader(Settings(), registry),
            has_page=True,
            strict_fields=False,
            keep_alive_seconds=15,
        )
        run = chat.run(ChatCompletionRequest.model_validate_json(REQUEST), RequestContext())
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await RunResponse(run, services)(scope, leave, send)
        assert not engine.running
        assert len(engine.aborted) == 1

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
