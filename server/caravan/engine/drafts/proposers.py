"""Makes the proposers of sequences."""

from collections.abc import Callable, Sequence

from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.model_proposer import ModelProposer
from caravan.engine.drafts.ngram import NgramProposer
from caravan.engine.drafts.prediction import PredictedText, PredictionProposer
from caravan.engine.drafts.proposer import Proposer
from caravan.engine.drafts.tree import TreeProposer
from caravan.engine.kv.continuations import Continuations
from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.kv.scopes import scope_of
from caravan.engine.params import GenerationRequest


class Proposers:
    """What all sequences of a model draft from: vocabulary, cache, and the draft model if there is one."""

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        continuations: Continuations,
        draft_model: DraftModel | None = None,
    ) -> None:
        self._token_bytes = token_bytes
        self._continuations = continuations
        self.draft_model = draft_model
        self._predicted_ids: Sequence[int] = ()
        self._predicted: PredictedText | None = None

    def chain_for(self, request: GenerationRequest) -> ProposerChain:
        """Make what proposes for one choice of a request."""
        return self.chain(
            len(request.token_ids) - request.num_continued,
            scope_of(request),
            request.predicted_token_ids,
            has_media=bool(request.media),
        )

    def chain(
        self,
        num_prompt_tokens: int,
        scope: CacheScope,
        predicted_ids: Sequence[int] = (),
        *,
        has_media: bool = False,
    ) -> ProposerChain:
        """Make what proposes for one sequence, of whose answer a client may have predicted some. A draft
        model sees no images.
        """
        cheap: list[Proposer] = []
        if predicted_ids:
            text = self._predicted_text(predicted_ids)
            cheap.append(PredictionProposer(text, num_prompt_tokens, self._token_bytes))
        cheap += [NgramProposer(), TreeProposer(self._continuations, scope)]
        model = None
        if self.draft_model is not None and not has_media:
            model = ModelProposer(self.draft_model, scope)
        return ProposerChain(cheap, model)

    def _predicted_text(self, predicted_ids: Sequence[int]) -> PredictedText:
        """The choices of a request come one after the other, and a prediction may be long."""
        if self._predicted is None or self._predicted_ids is not predicted_ids:
            self._predicted_ids = predicted_ids
            self._predicted = PredictedText(predicted_ids, self._token_bytes)
        return self._predicted
