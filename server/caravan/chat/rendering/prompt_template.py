"""What the rest of the server sees of a model's chat template."""

from typing import Protocol

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation

# What a model without a template of its own gets: the format most chat models were tuned on.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Variables that every template gets; a request cannot set them.
GIVEN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})


class TemplateSyntaxError(Exception):
    """The template does not compile, or cannot be tried; the server should not start with it."""


class PromptTemplate(Protocol):
    """A template that has been tried. `variables` are those that a request may set."""

    variables: frozenset[str]
    traits: Traits

    def write(
        self, conversation: Conversation, principal: Principal = ANONYMOUS, *, is_long: bool = False
    ) -> str:
        """Write the prompt; raises InvalidRequestError. Any thread may ask, and keys take turns; those whose
        conversation `is_long` take turns among themselves.
        """

    def close(self) -> None:
        """Give back what it holds."""
