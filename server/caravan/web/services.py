"""Makes what serves the routes of one application, each by what it needs of the others."""

import logging

from caravan.api.batches.answering import LineServices
from caravan.api.batches.archive import BatchArchive
from caravan.api.batches.files_service import FileService
from caravan.api.batches.service import BatchService
from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.conversations import ConversationService
from caravan.api.decisions.rank import RankService
from caravan.api.decisions.service import DecisionService
from caravan.api.embeddings import EmbeddingService
from caravan.api.explain.service import ExplainService
from caravan.api.llama_cpp.service import LlamaCppService
from caravan.api.messages.service import MessagesService
from caravan.api.ollama.service import OllamaService
from caravan.api.params import presets
from caravan.api.params.decoding_plan import DecodingPlanner, RequestLimits
from caravan.api.prompt.media import MediaPrompts
from caravan.api.responses.service import ResponseService
from caravan.api.status import StatusService
from caravan.api.store import AsyncStore, Limits, PlaceError, check_place
from caravan.api.stored_chats import StoredChatService
from caravan.api.structured.compiler import ConstraintCompiler
from caravan.api.tokenize import TokenService
from caravan.api.transcriptions import TranscriptionService
from caravan.api.usage import UsageBook
from caravan.auth.holders import Holders
from caravan.config.settings import Settings
from caravan.media.fetching import ImageFetcher
from caravan.media.reader import MediaReader
from caravan.models import ModelRegistry
from caravan.observability.metrics import EngineReading, Metrics
from caravan.web.dependencies import Services
from caravan.web.multipart import FormReader
from caravan.web.request_body import BodyReader
from caravan.web.startup_message import StartError

log = logging.getLogger(__name__)


def make_services(
    settings: Settings,
    registry: ModelRegistry,
    holders: Holders,
    archive: AsyncStore | None = None,
    *,
    has_batches: bool = True,
) -> Services:
    """Make all services over `registry`, and over another `archive` than the settings name.

    Raises PresetError and PlaceError.
    """
    files = BatchArchive(settings.batches_path, settings.files_bytes, is_served=has_batches)
    decoding = _decoding(settings, registry)
    constraints = ConstraintCompiler()
    archive = archive or _archive(settings)
    media = MediaPrompts(MediaReader(ImageFetcher(settings.image_hosts), settings.max_image_bytes))
    chat = ChatService(registry, decoding, constraints, media)
    completions = CompletionService(registry, decoding, constraints)
    embeddings = EmbeddingService(registry)
    tokens = TokenService(registry, media)
    metrics, usage = Metrics(lambda: _readings(registry)), UsageBook(settings.usage_path)
    chats, responses = StoredChatService(archive), ResponseService(registry, chat, tokens, archive)
    lines = LineServices(
        registry=registry,
        holders=holders,
        usage=usage,
        chat=chat,
        chats=chats,
        completions=completions,
        embeddings=embeddings,
        responses=responses,
    )
    bodies = BodyReader(settings, registry)
    return Services(
        registry=registry,
        batches=BatchService(files, lines, metrics, bodies.max_bytes),
        files=FileService(files, settings.max_file_bytes),
        forms=FormReader(settings),
        metrics=metrics,
        status=StatusService(registry),
        usage=usage,
        decoding=decoding,
        chat=chat,
        chats=chats,
        completions=completions,
        decisions=DecisionService(registry),
        rank=RankService(registry),
        embeddings=embeddings,
        explanations=ExplainService(registry, decoding, chat, completions),
        responses=responses,
        conversations=ConversationService(archive),
        ollama=OllamaService(registry, decoding, chat, completions, embeddings),
        llama_cpp=LlamaCppService(registry, decoding, completions, embeddings),
        messages=MessagesService(registry, chat, tokens),
        tokens=tokens,
        transcriptions=TranscriptionService(registry, chat, settings.max_image_bytes),
        bodies=bodies,
        has_page=settings.page,
        strict_fields=settings.strict_fields,
        keep_alive_seconds=settings.sse_ping_seconds,
    )


async def open_stores(services: Services, settings: Settings) -> None:
    """Open the stores of responses and of batches, which go on. One that cannot work is in the log; where its
    place was chosen by the operator, it raises StartError.
    """
    try:
        await services.responses.open()
    except PlaceError as error:
        if settings.responses_db is not None:
            raise StartError(f"--responses-db {error}") from error
        log.warning("responses cannot be stored, and requests for that get a 503: %s", error)
    try:
        await services.batches.open()
    except PlaceError as error:
        if settings.batches_dir is not None:
            raise StartError(f"--batches-dir {error}") from error
        log.warning("files and batches cannot be stored, and requests for them get a 503: %s", error)


def _decoding(settings: Settings, registry: ModelRegistry) -> DecodingPlanner:
    decoding = DecodingPlanner(
        limits=RequestLimits(max_choices=settings.max_choices, max_prompts=settings.max_prompts),
        presets=presets.load(settings.presets),
        operator=presets.operator_defaults(settings.defaults),
    )
    for spec in registry.specs:
        presets.operator_defaults(spec.operator_defaults, f"defaults of the model '{spec.id}'")
    registry.add_check(decoding.check)
    return decoding


def _archive(settings: Settings) -> AsyncStore:
    path = settings.responses_path
    # Where nobody asked for responses to be kept, those who do not need that are served.
    if settings.responses_db is not None and path is not None:
        check_place(path)
    return AsyncStore(path, archive_limits(settings))


def archive_limits(settings: Settings) -> Limits:
    """How long what is stored is kept, and how much."""
    return Limits(max_seconds=settings.responses_days * 86400, max_bytes=settings.responses_bytes)


def _readings(registry: ModelRegistry) -> list[EngineReading]:
    models = [model for spec in registry.specs if (model := registry.loaded(spec.id))]
    return [
        EngineReading(
            model=model.id,
            stats=model.engine.stats(),
            num_restarts=model.engine.num_restarts,
            pid=model.engine.pid,
        )
        for model in models
    ]
