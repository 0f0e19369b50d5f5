"""One line of a batch: asked of the service that serves its route, again where that may help, and written."""

import asyncio
import logging
import uuid
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import cast

import msgspec
from caravan_schemas.batches import Endpoint
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.common import ModelFields
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.errors import ErrorDetail, ErrorResponse
from caravan_schemas.responses import ResponseRequest

from caravan.api.batches.reading import read_request
from caravan.api.batches.values import Answer, Line, Tokens
from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.embeddings import EmbeddingService
from caravan.api.output.encoding import Document, in_one_line, to_json
from caravan.api.responses.service import ResponseService
from caravan.api.stored_chats import StoredChatService
from caravan.api.usage import UsageBook
from caravan.auth.holders import Holders
from caravan.auth.principal import Principal
from caravan.engine.params import BACKGROUND_PRIORITY
from caravan.errors import CaravanError, EngineUnavailableError, RateLimitError, ServerError
from caravan.models import ModelRegistry
from caravan.observability.request_metrics import RequestMetrics
from caravan.runtime.threads import FairLimiter

log = logging.getLogger(__name__)

# A line that fails the server itself is asked so often; one that has to wait, until its batch's time is over.
_ATTEMPTS = 3
_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 30.0


@dataclass(frozen=True, kw_only=True)
class LineServices:
    """What serves the routes of lines, and what is counted there."""

    registry: ModelRegistry
    holders: Holders
    usage: UsageBook
    chat: ChatService
    chats: StoredChatService
    completions: CompletionService
    embeddings: EmbeddingService
    responses: ResponseService

    async def ask(self, endpoint: Endpoint, request: ModelFields, context: RequestContext) -> Document:
        """Return the JSON of an answer; raises CaravanError."""
        match endpoint:
            case "/v1/chat/completions":
                chat = cast("ChatCompletionRequest", request)
                run = self.chat.run(chat, context)
                if chat.store:
                    self.chats.keep(run, chat)
            case "/v1/completions":
                run = self.completions.run(cast("CompletionRequest", request), context)
            case "/v1/embeddings":
                return await self.embeddings.create(cast("EmbeddingRequest", request), context)
            case "/v1/responses":
                asked = cast("ResponseRequest", request)
                if asked.store is None:
                    # Whoever wants ten thousand of them kept says so.
                    asked.store = False
                async with aclosing(self.responses.run(asked, context)) as response:
                    return await response.whole()
        async with aclosing(run):
            return await run.whole()


class Answerer:
    """Answers lines, each at the lowest priority there is, for the holder of its batch's key.

    `places` is how many are asked at once, which keys share.
    """

    def __init__(self, services: LineServices, places: FairLimiter) -> None:
        self._services = services
        self._places = places

    def holder(self, owner: str) -> Principal:
        """Return the holder of a batch's key; raises AuthenticationError where it has been revoked."""
        return self._services.holders.absent(owner)

    async def answer(self, owner: str, endpoint: Endpoint, line: Line, body: bytes) -> Answer:
        """Return what a line of the output is."""
        num_failed, seconds = 0, _FIRST_SECONDS
        while True:
            metrics = RequestMetrics(f"req_{uuid.uuid4().hex}")
            try:
                async with self._places.held(owner):
                    document = await self._asked(owner, endpoint, body, metrics)
            except (RateLimitError, EngineUnavailableError) as error:
                waited: CaravanError = error
            except ServerError as error:
                num_failed += 1
                waited = error
            except CaravanError as error:
                return _refusal(line, error, metrics)
            else:
                return _success(line, document, metrics)
            if num_failed >= _ATTEMPTS:
                return _refusal(line, waited, metrics)
            await asyncio.sleep(max(seconds, waited.retry_after or 0))
            seconds = min(2 * seconds, _LONGEST_SECONDS)

    async def _asked(self, owner: str, endpoint: Endpoint, body: bytes, metrics: RequestMetrics) -> Document:
        principal = replace(await self._services.holders.background(owner), priority=BACKGROUND_PRIORITY)
        metrics.key = principal.name
        try:
            request = read_request(endpoint, body)
            request.model = self._services.registry.name_of(request.model, principal)
            context = RequestContext(principal=principal, metrics=metrics)
            context.note_stay(request.keep_alive, request.model, self._services.registry)
            return await self._services.ask(endpoint, request, context)
        except CaravanError:
            raise
        except Exception as error:
            log.exception("a line of a batch failed")
            raise ServerError("The server failed to answer this request.") from error
        finally:
            self._close(principal, metrics)

    def _close(self, principal: Principal, metrics: RequestMetrics) -> None:
        if principal.allowance is not None:
            principal.allowance.leave(metrics.num_used_tokens)
        self._services.usage.count(principal, metrics)


def unanswered(line: Line, code: str, message: str) -> Answer:
    """Make what is told of a line that nobody will answer any more."""
    return _written(line, None, {"code": code, "message": message}, is_error=True)


def _success(line: Line, document: Document, metrics: RequestMetrics) -> Answer:
    body = document if isinstance(document, bytes) else b"".join(document)
    response = b'{"status_code":200,"request_id":%b,"body":%b}' % (
        msgspec.json.encode(metrics.request_id),
        body.replace(b"\n", b""),
    )
    return _written(line, response, None, is_error=False, tokens=_tokens(metrics))


def _refusal(line: Line, error: CaravanError, metrics: RequestMetrics) -> Answer:
    detail = ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
    response = b'{"status_code":%d,"request_id":%b,"body":%b}' % (
        error.status,
        msgspec.json.encode(metrics.request_id),
        to_json(ErrorResponse(error=detail)),
    )
    return _written(line, response, None, is_error=True, tokens=_tokens(metrics))


def _written(
    line: Line,
    response: bytes | None,
    error: dict[str, str] | None,
    *,
    is_error: bool,
    tokens: Tokens | None = None,
) -> Answer:
    text = b'{"id":"batch_req_%b","custom_id":%b,"response":%b,"error":%b}\n' % (
        uuid.uuid4().hex.encode(),
        msgspec.json.encode(line.custom_id),
        response or b"null",
        msgspec.json.encode(error),
    )
    return Answer(text=in_one_line(text), is_error=is_error, tokens=tokens or Tokens())


def _tokens(metrics: RequestMetrics) -> Tokens:
    return Tokens(
        prompt=metrics.num_used_prompt_tokens,
        cached=min(metrics.num_cached_tokens, metrics.num_used_prompt_tokens),
        completion=metrics.num_completion_tokens,
        reasoning=sum(run.num_reasoning_tokens for run in metrics.runs),
    )
