"""A template in this process."""

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.probing import learnt
from caravan.chat.rendering.template import ChatTemplate
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation
from caravan.chat.rendering.writer import PromptWriter


class LocalTemplate:
    """A PromptTemplate for a source that is trusted, or where the process is bounded.

    Raises TemplateSyntaxError.
    """

    def __init__(
        self,
        source: str,
        *,
        bos_token: str = "",
        eos_token: str = "",
        call_text: CallText | None = None,
        traits: Traits | None = None,
    ) -> None:
        template = ChatTemplate(source, bos_token=bos_token, eos_token=eos_token)
        call_text = call_text or CallText()
        self.traits = traits or learnt(template, call_text)
        self.variables = template.variables
        self._writer = PromptWriter(template, self.traits, call_text)

    def write(
        self,
        conversation: Conversation,
        principal: Principal = ANONYMOUS,  # noqa: ARG002
        *,
        is_long: bool = False,  # noqa: ARG002
    ) -> str:
        """The prompt; raises InvalidRequestError. Nobody waits for others here."""
        return self._writer.write(conversation)

    def close(self) -> None:
        """Nothing is held."""
