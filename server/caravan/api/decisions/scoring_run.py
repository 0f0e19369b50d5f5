"""One request's labels scored: the model held, the key charged, the tokens counted."""

from collections.abc import Callable
from dataclasses import dataclass

from caravan.api.context import RequestContext
from caravan.api.decisions.probabilities import LabelScore
from caravan.api.decisions.scoring import Scoring
from caravan.auth.principal import Principal
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread, in_thread


@dataclass(frozen=True)
class Scored:
    """`scores` are those of the labels of each prompt of `scoring`."""

    model: LoadedModel
    scoring: Scoring
    scores: list[list[LabelScore]]


async def scored(
    model: LoadedModel,
    model_name: str,
    context: RequestContext,
    who: Principal,
    read: Callable[[LoadedModel], Scoring],
    *,
    is_much: bool,
) -> Scored:
    """Read a request in a thread and score its labels. Cancelling it aborts the work in the engine.

    The caller holds the model. What reading refuses and what the engine raises is raised. One that `is_much`
    waits for none but its like.
    """
    entry = context.metrics
    model.engine.check_room(who.id, who.weight, 1)
    async with (model.long_threads if is_much else model.threads).held(who.id, who.weight):
        scoring = await (in_busy_thread(lambda: read(model)) if is_much else in_thread(read, model))
    entry.requested_model = model_name
    async with context.charged(model.id, scoring.num_prompt_tokens):
        try:
            scores = await scoring.run()
        finally:
            entry.num_cached_tokens += scoring.num_cached_tokens
    entry.num_completion_tokens += scoring.num_label_tokens
    return Scored(model, scoring, scores)
