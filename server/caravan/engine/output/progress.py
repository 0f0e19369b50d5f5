"""How much of a prompt is computed, told while it is."""

import time

from caravan.engine.outputs import PromptProgress, TokenOutput
from caravan.engine.params import GenerationRequest


class ProgressTeller:
    """Tells of one prompt, each time that more of it is computed; from then on that it has its turn."""

    def __init__(self, request: GenerationRequest) -> None:
        self._request = request
        self._began: float | None = None
        self._num_told = -1

    def news(self, num_computed: int, num_cached: int) -> TokenOutput | None:
        """Tell of so many tokens in memory, of which so many were there before; None where that was told."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if num_computed <= self._num_told:
            return None
        self._num_told = num_computed
        progress = PromptProgress(num_computed, now - self._began)
        return TokenOutput(request_id=self._request.id, num_cached_tokens=num_cached, progress=progress)
