"""How likely decoding is to write the references: token by token, with all that the samplers do.

Log probabilities that a server tells of a text are those before truncation and temperature, which no search
could move. So each token is asked for by itself, with what the samplers leave of its row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from caravan_schemas.sampling import DecodingFields, EndFields

from caravan.tune.client import Client, conversation
from caravan.tune.concurrency import together
from caravan.tune.errors import TrialError
from caravan.tune.objectives import LogLikelihood
from caravan.tune.scorers.scorer import Case

# The most that the server tells of a row.
_NUM_PROBS = 20
# What decides about a token; when a text ends is not asked here.
_SHAPING = DecodingFields.model_fields.keys() - EndFields.model_fields.keys()


@dataclass(frozen=True)
class LikelihoodScorer:
    """Asks llama.cpp's route for the probabilities after all samplers."""

    objective: LogLikelihood

    async def score(self, client: Client, case: Case) -> list[float]:
        """The mean over all tokens of all references."""
        prompt_ids = await self._prompt_ids(client, case)
        texts = [{"content": reference, "add_special": False} for reference in case.prompt.references]
        references = await together([self._ids(client, text) for text in texts])
        found = await together(
            [
                self._log_probability(client, case, [*prompt_ids, *ids[:index]], token_id)
                for ids in references
                for index, token_id in enumerate(ids)
            ]
        )
        if not found:
            raise TrialError(f"the references of {case.prompt.text[:40]!r} have no tokens")
        return [math.fsum(found) / len(found)]

    async def _prompt_ids(self, client: Client, case: Case) -> list[int]:
        if client.task.route == "text":
            return await self._ids(client, {"prompt": case.prompt.text})
        return await self._ids(client, {"messages": conversation(client.task, case.prompt)})

    async def _ids(self, client: Client, subject: Mapping[str, object]) -> list[int]:
        document = await client.post("tokenize", {"model": client.model, **subject})
        return list(document["tokens"])

    async def _log_probability(self, client: Client, case: Case, ids: list[int], token_id: int) -> float:
        shaping = {name: value for name, value in client.task.request.items() if name in _SHAPING}
        body = {
            **shaping,
            **{name: value for name, value in case.parameters.items() if name in _SHAPING},
            "model": client.model,
            "prompt": ids,
            "n_predict": 1,
            "n_probs": _NUM_PROBS,
            "post_sampling_probs": True,
            "seed": 0,
        }
        document = await client.post("completion", body)
        rows = document.get("completion_probabilities") or [{}]
        told = {entry["id"]: entry["prob"] for entry in rows[0].get("top_probs", ())}
        return math.log(max(told.get(token_id, 0.0), self.objective.floor))
