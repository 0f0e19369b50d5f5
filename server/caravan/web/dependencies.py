"""What routes are given, typed, so that nothing reads an untyped `app.state`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from caravan.api.batches.files_service import FileService
from caravan.api.batches.service import BatchService
from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext, context_of
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
from caravan.api.stored_chats import StoredChatService
from caravan.api.tokenize import TokenService
from caravan.api.transcriptions import TranscriptionService
from caravan.api.usage import UsageBook
from caravan.errors import PermissionDeniedError
from caravan.models import ModelRegistry
from caravan.observability.metrics import Metrics
from caravan.web.callers import is_local, is_page_of_another
from caravan.web.multipart import FormReader
from caravan.web.request_body import BodyReader


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services of one app, and the settings that routes themselves need."""

    registry: ModelRegistry
    batches: BatchService
    files: FileService
    forms: FormReader
    metrics: Metrics
    status: StatusService
    usage: UsageBook
    decoding: DecodingPlanner
    chat: ChatService
    chats: StoredChatService
    completions: CompletionService
    decisions: DecisionService
    rank: RankService
    embeddings: EmbeddingService
    explanations: ExplainService
    responses: ResponseService
    conversations: ConversationService
    ollama: OllamaService
    llama_cpp: LlamaCppService
    messages: MessagesService
    tokens: TokenService
    transcriptions: TranscriptionService
    bodies: BodyReader
    has_page: bool
    strict_fields: bool
    keep_alive_seconds: float


# FastAPI has worker threads run dependencies that are not asynchronous.
async def get_services(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


UseServices = Annotated[Services, Depends(get_services)]


async def get_context(request: Request) -> RequestContext:
    """Return who sends this request, and its numbers."""
    return context_of(request.scope)


UseContext = Annotated[RequestContext, Depends(get_context)]


async def require_admin(request: Request) -> None:
    """Let administrators' keys pass and, without keys, callers on this machine; raises PermissionDeniedError.

    A web page in a browser on this machine is a caller too. This server's own may pass.
    """
    who = context_of(request.scope).principal
    if who.id:
        if not who.is_admin:
            raise PermissionDeniedError(f"The key '{who.name}' is not an administrator's.")
        return
    if not is_local(request) or is_page_of_another(request.headers):
        raise PermissionDeniedError("Without keys, this is for callers on the server's own machine.")


AdminOnly = Depends(require_admin)
