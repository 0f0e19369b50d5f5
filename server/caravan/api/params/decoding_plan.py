"""How a request is decoded, and what of the outcome goes into its answer."""

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

from caravan_schemas.debug import Debug, DecodingStage

from caravan.engine.outputs import TokenOutput
from caravan.engine.params import SamplingParams


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """`num_drawn` choices of each prompt are generated, of which the best `num_choices` are answered with.

    `chain` is there when the request asks to see it.
    """

    params: SamplingParams
    num_choices: int
    num_drawn: int
    chain: list[DecodingStage] | None = None

    def kept(self, last: Sequence[TokenOutput]) -> list[TokenOutput]:
        """Of the last outputs of all choices those that are answered with, each prompt's best first.

        Without a score, the order is the engine's and all are kept.
        """
        if not self.params.score:
            return list(last)
        prompts = [last[start : start + self.num_drawn] for start in range(0, len(last), self.num_drawn)]
        return [
            output
            for choices in prompts
            for output in sorted(choices, key=_mean_logprob, reverse=True)[: self.num_choices]
        ]

    @cached_property
    def debug_size(self) -> int:
        """How many values the chain shows, where the request asks to see it."""
        values = [value for stage in self.chain or () for value in stage.values.values()]
        return sum(len(value) for value in values if isinstance(value, Sized))

    def debug(self, last: Mapping[int, TokenOutput]) -> Debug | None:
        """The chain, with mirostat's state after the last outputs, which are by the answer's indexes."""
        if self.chain is None:
            return None
        mu = {
            str(index): output.mirostat_mu for index, output in last.items() if output.mirostat_mu is not None
        }
        return Debug(
            decoding=[
                DecodingStage(stage=stage.stage, values=stage.values, mu=mu)
                if stage.stage == "mirostat"
                else stage
                for stage in self.chain
            ]
        )


def _mean_logprob(output: TokenOutput) -> float:
    if output.sum_logprob is None:
        return -math.inf
    return output.sum_logprob / max(output.num_completion_tokens, 1)
