"""A template in two processes, so that nobody waits for a long conversation but others like it."""

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.turns import Conversation

# Starting one takes a good part of a second, and it holds some tens of megabytes.
_IDLE_SECONDS = 30.0


class TemplateLanes:
    """A PromptTemplate that writes long conversations in a process of their own, which is there while it is
    needed. Raises TemplateSyntaxError and OSError.
    """

    def __init__(
        self,
        source: str,
        *,
        bos_token: str = "",
        eos_token: str = "",
        call_text: CallText | None = None,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._short = TemplateProcess(source, bos_token=bos_token, eos_token=eos_token, call_text=call_text)
        self._long = TemplateProcess(
            source,
            bos_token=bos_token,
            eos_token=eos_token,
            call_text=call_text,
            like=self._short,
            idle_seconds=idle_seconds,
        )
        self.source = source
        self.traits = self._short.traits
        self.variables = self._short.variables

    def write(
        self, conversation: Conversation, principal: Principal = ANONYMOUS, *, is_long: bool = False
    ) -> str:
        """The prompt; raises InvalidRequestError, and EngineUnavailableError where no process can be had."""
        lane = self._long if is_long else self._short
        return lane.write(conversation, principal)

    def close(self) -> None:
        """End the processes; what is being written is given up."""
        self._short.close()
        self._long.close()
