"""Ranks: pairs of a query and a document, each judged by a head that the model has for it, or else by whether
the model would say yes or no.

The words are those of Qwen3-Reranker, which was trained on them; other chat models are asked the same.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from caravan_schemas.messages import Message, SystemMessage, UserMessage
from caravan_schemas.rank import (
    CohereMeta,
    CohereTokens,
    PairScore,
    PairScores,
    RankedDocument,
    RankFields,
    RankUsage,
    Reranking,
    RerankRequest,
    ScoreRequest,
    TextDocument,
)

from caravan.api.context import RequestContext
from caravan.api.decisions.cross_encoder import Pair, relevance, with_first_tokens
from caravan.api.decisions.label_tokens import Labelled
from caravan.api.decisions.probabilities import shares
from caravan.api.decisions.prompts import all_of, written
from caravan.api.decisions.scoring import Scoring, scored
from caravan.api.output.encoding import to_json
from caravan.api.prompt.tokenize import check_generates
from caravan.auth.principal import Principal
from caravan.engine.embedding.values import Pooling
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel

JUDGE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
_LABELS = ("yes", "no")
# Pairs whose prompts are written in a moment.
_FEW = 32


@dataclass(frozen=True)
class _Ranked:
    """How well each pair goes together, from 0 to 1, and the tokens of all."""

    model: LoadedModel
    relevance: list[float]
    num_tokens: int

    @property
    def usage(self) -> RankUsage:
        return RankUsage(prompt_tokens=self.num_tokens, total_tokens=self.num_tokens)


class RankService:
    """Serves `POST /v1/rerank` and `POST /v1/score` for all models of a registry."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def rerank(self, request: RerankRequest, context: RequestContext) -> bytes:
        """Write the answer as JSON. Cancelling it aborts the work in the engine."""
        texts = [each if isinstance(each, str) else each.text for each in request.documents]
        pairs = [(request.query, text, f"documents[{index}]") for index, text in enumerate(texts)]
        found = await self._ranked(request, pairs, context, request.max_tokens_per_doc)
        relevance = found.relevance
        order = sorted(range(len(texts)), key=lambda index: -relevance[index])[: request.top_n]
        results = [RankedDocument(index=index, relevance_score=relevance[index]) for index in order]
        for result in results if request.return_documents else ():
            result.document = TextDocument(text=texts[result.index])
        usage = found.usage
        return to_json(
            Reranking(
                id=f"rerank-{uuid.uuid4().hex}",
                object="list",
                model=found.model.name,
                results=results,
                usage=usage,
                meta=CohereMeta(tokens=CohereTokens(input_tokens=usage.prompt_tokens)),
            )
        )

    async def score(self, request: ScoreRequest, context: RequestContext) -> bytes:
        """Write the answer as JSON. Cancelling it aborts the work in the engine."""
        found = await self._ranked(request, _pairs(request), context)
        return to_json(
            PairScores(
                id=f"score-{uuid.uuid4().hex}",
                object="list",
                created=int(time.time()),
                model=found.model.name,
                data=[
                    PairScore(index=index, object="score", score=score)
                    for index, score in enumerate(found.relevance)
                ],
                usage=found.usage,
            )
        )

    async def _ranked(
        self, request: RankFields, given: Sequence[Pair], context: RequestContext, limit: int | None = None
    ) -> _Ranked:
        def pairs(model: LoadedModel) -> Sequence[Pair]:
            return with_first_tokens(model, given, limit)

        who = context.principal.asking(request.priority)
        is_much = len(given) > _FEW
        async with context.holding(self._registry, request.model) as model:
            if model.engine.traits.pooling is Pooling.RANK:
                if request.instruction is not None:
                    message = f"'{model.id}' was made for one task; 'instruction' changes nothing in it."
                    raise UnsupportedParameterError(message, param="instruction")
                context.metrics.requested_model = request.model
                return _Ranked(model, *await relevance(model, pairs, context, who, is_much=is_much))
            read = partial(_scoring, pairs, request.instruction or _SEARCH, principal=who)
            found = await scored(model, request.model, context, who, read, is_much=is_much)
        shared = [shares(scores, "none", None).probabilities[0] for scores in found.scores]
        return _Ranked(found.model, shared, found.scoring.num_prompt_tokens)


def _pairs(request: ScoreRequest) -> list[Pair]:
    """Put the texts together; raises InvalidRequestError where their numbers do not go together."""
    firsts = [request.text_1] if isinstance(request.text_1, str) else request.text_1
    seconds = [request.text_2] if isinstance(request.text_2, str) else request.text_2
    if len(firsts) not in (1, len(seconds)):
        raise InvalidValueError("text_1", f"must be one text, or as many as 'text_2' has: {len(seconds)}")
    if len(firsts) == 1:
        firsts = firsts * len(seconds)
    named = "text_2" if isinstance(request.text_2, str) else "text_2[{}]"
    return [
        (first, second, named.format(index))
        for index, (first, second) in enumerate(zip(firsts, seconds, strict=True))
    ]


def _scoring(
    pairs: Callable[[LoadedModel], Sequence[Pair]],
    instruction: str,
    model: LoadedModel,
    principal: Principal,
) -> Scoring:
    """Read the pairs; whatever can refuse a request does so here. Raises InvalidRequestError."""
    check_generates(model)
    read = pairs(model)
    prompts = all_of(_prompts(read, instruction, model, principal), read[0][2].partition("[")[0])
    # As the reference has it, only the words count, and not whether the answer ends with them.
    return Scoring(model, prompts, (), f"rank-{uuid.uuid4().hex}", principal)


def _prompts(
    pairs: Sequence[Pair], instruction: str, model: LoadedModel, principal: Principal
) -> Iterator[Labelled]:
    for query, document, param in pairs:
        text = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}"
        messages: list[Message] = [
            SystemMessage(role="system", content=JUDGE),
            UserMessage(role="user", content=text),
        ]
        try:
            yield written(messages, _LABELS, model, principal, param=param, input_param=param)
        except InvalidRequestError as error:
            error.param = param
            raise
