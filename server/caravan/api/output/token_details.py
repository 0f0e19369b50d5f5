"""What an answer tells of its tokens beside their text."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.engine.outputs import TokenLogprob, TokenOutput


@dataclass(frozen=True)
class TokenDetails:
    """Log probabilities and ids of some tokens, each where the request asked for it. False: nothing."""

    logprobs: Sequence[TokenLogprob] = ()
    token_ids: Sequence[int] = ()

    @classmethod
    def by(cls, *outputs: TokenOutput) -> "TokenDetails":
        """What outputs of the engine tell, in their order."""
        return cls(
            [entry for output in outputs for entry in output.logprobs],
            [token_id for output in outputs for token_id in output.token_ids],
        )

    def __bool__(self) -> bool:
        return bool(self.logprobs or self.token_ids)

    def __add__(self, later: "TokenDetails") -> "TokenDetails":
        return (
            TokenDetails((*self.logprobs, *later.logprobs), (*self.token_ids, *later.token_ids))
            if later
            else self
        )


NOTHING = TokenDetails()
