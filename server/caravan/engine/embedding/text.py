"""One text on its way to its vector."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, Pooling


@dataclass(eq=False)
class Text:
    """One input; `vector` is what has been pooled of its first `num_computed` tokens."""

    request: EmbedRequest
    index: int
    seq_id: int = -1
    num_computed: int = 0
    vector: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All of its tokens."""
        return self.request.inputs[self.index]

    @property
    def num_missing(self) -> int:
        """How many of them are not computed yet."""
        return len(self.token_ids) - self.num_computed

    @property
    def is_background(self) -> bool:
        """Whether it gives way to all that are not."""
        return self.request.is_background

    def take(self, rows: NDArray[np.float32], num_tokens: int) -> None:
        """Pool the vectors of the next tokens, `rows` [num_tokens, width], or take what the head says of
        them, [1, width].
        """
        match self.request.pooling:
            case Pooling.MEAN:
                self.vector = self.vector + rows.sum(axis=0, dtype=np.float64)
            case Pooling.LAST | Pooling.RANK:
                self.vector = rows[-1].astype(np.float64)
            case _ if self.num_computed == 0:
                self.vector = rows[0].astype(np.float64)
        self.num_computed += num_tokens

    def restart(self) -> None:
        """Forget what has been computed."""
        self.num_computed = 0
        self.vector = np.zeros(1)

    def output(self) -> EmbedOutput:
        """Return the result, of length 1; an error if the numbers are none."""
        length = float(np.linalg.norm(self.vector))
        if not np.isfinite(length):
            return failure(self.request.id, "the model's numbers are not finite")
        scale = 1.0 if self.request.pooling is Pooling.RANK else length or 1.0
        vector = (self.vector / scale).astype("<f4")
        return EmbedOutput(request_id=self.request.id, index=self.index, vector=vector.tobytes())


def failure(request_id: str, error: str) -> EmbedOutput:
    """Tell that a request has failed."""
    return EmbedOutput(request_id=request_id, error=error)
