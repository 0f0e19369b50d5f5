"""A model in somebody's hands: it is not unloaded before it is let go."""

from collections.abc import Callable

from caravan.models.loaded_model import LoadedModel


class Lease:
    """One user's hold on a loaded model. `release` must follow, on every path."""

    def __init__(self, model: LoadedModel, let_go: Callable[[], None]) -> None:
        self.model = model
        self._let_go: Callable[[], None] | None = let_go

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._let_go is not None:
            let_go, self._let_go = self._let_go, None
            let_go()
