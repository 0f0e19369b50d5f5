"""A model as the judge: it decides about each answer on the route for decisions."""

from dataclasses import dataclass
from typing import Any

from caravan.tune.client import Answer, Client, conversation
from caravan.tune.errors import SearchError
from caravan.tune.objectives import Judge
from caravan.tune.scorers.scorer import Case


@dataclass(frozen=True)
class JudgeScorer:
    """Shows the judge the conversation with the answer, and asks the objective's question."""

    objective: Judge

    async def score(self, client: Client, case: Case) -> list[float]:
        """One decision for each answer."""
        return [await self._decide(client, case, answer) for answer in case.answers]

    async def _decide(self, client: Client, case: Case, answer: Answer) -> float:
        turns = [
            # What calls tools may have no text.
            {"role": turn["role"], "content": turn.get("content") or ""}
            for turn in conversation(client.task, case.prompt)
        ]
        body = {
            "model": self.objective.model or client.model,
            "input": [*turns, {"role": "assistant", "content": answer.text}],
            "questions": [self._question(case)],
        }
        document = await client.post("v1/decisions", body, self.objective.url)
        try:
            answered = document["answers"][0]
            if self.objective.levels is None:
                return float(answered["probability"])
            return float(answered["score"]) / (len(self.objective.levels) - 1)
        except (KeyError, IndexError, TypeError) as error:
            raise SearchError("the judge's answer has no decision") from error

    def _question(self, case: Case) -> dict[str, Any]:
        """`{reference}` in the question stands for the prompt's first reference."""
        reference = case.prompt.references[0] if case.prompt.references else ""
        instructions = self.objective.question.replace("{reference}", reference)
        if self.objective.levels is None:
            return {"type": "predicate", "instructions": instructions}
        levels = [{"label": level} for level in self.objective.levels]
        return {"type": "score", "instructions": instructions, "levels": levels}
