"""Ranks: pairs of a query and a document, each judged by whether the model would say yes or no.

The words are those of Qwen3-Reranker, which was trained on them; other chat models are asked the same.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
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
from caravan.api.decisions.label_tokens import Labelled
from caravan.api.decisions.probabilities import shares
from caravan.api.decisions.prompts import all_of, written
from caravan.api.decisions.scoring import Scoring
from caravan.api.decisions.scoring_run import Scored, scored
from caravan.api.output.encoding import to_json
from caravan.api.prompt.tokenize import check_generates
from caravan.auth.principal import Principal
from caravan.errors import InvalidRequestError, InvalidValueError
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

# A query and a document, and the path of each.
Pair = tuple[str, str, str]


class RankService:
    """Serves `POST /v1/rerank` and `POST /v1/score` for all models of a registry."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def rerank(self, request: RerankRequest, context: RequestContext) -> bytes:
        """Write the answer as JSON. Cancelling it aborts the work in the engine."""
        texts = [each if isinstance(each, str) else each.text for each in request.documents]
        pairs = [(request.query, text, f"documents[{index}]") for index, text in enumerate(texts)]
        found = await self._scored(request, pairs, context)
        relevance = _yes(found)
        order = sorted(range(len(texts)), key=lambda index: -relevance[index])[: request.top_n]
        results = [RankedDocument(index=index, relevance_score=relevance[index]) for index in order]
        for result in results if request.return_documents else ():
            result.document = TextDocument(text=texts[result.index])
        usage = _usage(found)
        return to_json(
            Reranking(
                id=f"rerank-{uuid.uuid4().hex}",
                object="list",
                model=found.model.id,
                results=results,
                usage=usage,
                meta=CohereMeta(tokens=CohereTokens(input_tokens=usage.prompt_tokens)),
            )
        )

    async def score(self, request: ScoreRequest, context: RequestContext) -> bytes:
        """Write the answer as JSON. Cancelling it aborts the work in the engine."""
        found = await self._scored(request, _pairs(request), context)
        return to_json(
            PairScores(
                id=f"score-{uuid.uuid4().hex}",
                object="list",
                created=int(time.time()),
                model=found.model.id,
                data=[
                    PairScore(index=index, object="score", score=score)
                    for index, score in enumerate(_yes(found))
                ],
                usage=_usage(found),
            )
        )

    async def _scored(self, request: RankFields, pairs: Sequence[Pair], context: RequestContext) -> Scored:
        principal = context.principal.asking(request.priority)
        read = partial(_scoring, pairs, request.instruction or _SEARCH, principal=principal)
        is_much = len(pairs) > _FEW
        return await scored(self._registry, request.model, context, read, is_much=is_much)


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


def _scoring(pairs: Sequence[Pair], instruction: str, model: LoadedModel, principal: Principal) -> Scoring:
    """Read the pairs; whatever can refuse a request does so here. Raises InvalidRequestError."""
    check_generates(model)
    prompts = all_of(_prompts(pairs, instruction, model, principal), pairs[0][2].partition("[")[0])
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


def _yes(found: Scored) -> list[float]:
    return [shares(scores, "none", None).probabilities[0] for scores in found.scores]


def _usage(found: Scored) -> RankUsage:
    count = found.scoring.num_prompt_tokens
    return RankUsage(prompt_tokens=count, total_tokens=count)
