"""Documents by how well they meet a query: requests and answers as Jina, Cohere and vLLM have them."""

from typing import Annotated, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_json_type, string_or_array
from caravan_schemas.common import ModelFields, PriorityFields

MAX_DOCUMENTS = 4096


class TextDocument(Schema):
    """A document as an object."""

    text: str


Document = Annotated[
    str | TextDocument,
    by_json_type("document_kind", "must be a string or an object with a text"),
]


class RankFields(PriorityFields, ModelFields):
    """What all requests about pairs of texts may say."""

    instruction: str | None = Field(
        default=None,
        description="Caravan's own: what it means to meet a query, in words for the model. By default, to "
        "answer a search.",
    )


class RerankRequest(RankFields):
    """Body of `POST /v1/rerank`."""

    query: str
    documents: list[Document] = Field(
        min_length=1, max_length=MAX_DOCUMENTS, description="Texts, or objects with a `text`."
    )
    top_n: int | None = Field(
        default=None, ge=1, description="Return no more than so many, the best. All by default."
    )
    max_tokens_per_doc: int | None = Field(
        default=None,
        ge=1,
        description="As with Cohere: read no more than so many tokens of a document, the first. By default, "
        "one that does not fit is refused.",
    )
    return_documents: bool | None = Field(
        default=None, description="True: results have the documents, too. Default false."
    )


class RankedDocument(Schema):
    """`index` is the document's place in the request, `relevance_score` is from 0 to 1."""

    index: int
    relevance_score: float
    document: TextDocument | None = None


class RankUsage(Schema):
    """Tokens of all prompts; what they share counts once."""

    prompt_tokens: int
    total_tokens: int


class CohereTokens(Schema):
    """The same under Cohere's name."""

    input_tokens: int


class CohereMeta(Schema):
    """What Cohere's clients read the tokens from."""

    tokens: CohereTokens


class Reranking(Schema):
    """The best come first; those that are equally good, in the request's order."""

    id: str
    object: Literal["list"]
    model: str
    results: list[RankedDocument]
    usage: RankUsage
    meta: CohereMeta


Texts = Annotated[
    str | Annotated[list[str], Field(min_length=1, max_length=MAX_DOCUMENTS, fail_fast=True)],
    string_or_array("texts_kind", "strings"),
]


class ScoreRequest(RankFields):
    """Body of `POST /v1/score`: one text with each of several, or as many with as many, pair by pair."""

    text_1: Texts = Field(description="The query, or queries.")
    text_2: Texts = Field(description="The document, or documents.")


class PairScore(Schema):
    """How well the second text of a pair meets the first, from 0 to 1."""

    index: int
    object: Literal["score"]
    score: float


class PairScores(Schema):
    """The scores of the pairs, in their order."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[PairScore]
    usage: RankUsage
