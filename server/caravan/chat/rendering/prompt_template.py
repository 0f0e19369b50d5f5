"""What the rest of the server sees of a model's chat template."""

from typing import Protocol

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation


class PromptTemplate(Protocol):
    """A template that has been tried. `variables` are those that a request may set."""

    source: str
    variables: frozenset[str]
    traits: Traits

    def write(
        self, conversation: Conversation, principal: Principal = ANONYMOUS, *, is_long: bool = False
    ) -> str:
        """The prompt; raises InvalidRequestError. Any thread may ask, and callers have their turns; those
        whose conversation `is_long` have them among themselves.
        """

    def close(self) -> None:
        """Give back what it holds."""
