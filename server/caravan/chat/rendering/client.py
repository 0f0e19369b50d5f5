"""A template in a process of its own, which can be given up: whatever it does, others go on."""

import logging
import signal
from collections.abc import Callable
from typing import Any, TypeVar, cast

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.connection import IDLE_STATUS, Child
from caravan.chat.rendering.prompt_template import TemplateSyntaxError
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation
from caravan.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    ModelUnavailableError,
    ServerError,
)
from caravan.runtime.fair_queue import FairLock

T = TypeVar("T")

log = logging.getLogger(__name__)

_MODULE = "caravan.chat.rendering.process"
# Of processor time; a conversation of megabytes takes a tenth of it.
_SECONDS = 5.0
_RETRY_SECONDS = 5
# Starting a process takes a good part of a second, and it holds some tens of megabytes.
_IDLE_SECONDS = 30.0


class _LostError(Exception):
    """The process is gone. `was_ended` if it ended by itself, or somebody ended it who is not us."""

    def __init__(self, message: str, *, was_ended: bool) -> None:
        super().__init__(message)
        self.was_ended = was_ended


class TemplateProcess:
    """A PromptTemplate whose work is done elsewhere, one prompt at a time. Any thread may ask; each key has a
    share of the time. Long conversations are written in a process of their own, which is there while it is
    needed, and until nobody has asked for `idle_seconds`: nobody waits for them but others like them.

    A prompt that takes more than `seconds` of a processor is refused. Raises TemplateSyntaxError where the
    template does not compile or cannot be tried, and OSError.
    """

    def __init__(
        self,
        source: str,
        *,
        bos_token: str = "",
        eos_token: str = "",
        call_text: CallText | None = None,
        seconds: float = _SECONDS,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        first: dict[str, Any] = {
            "source": source,
            "bos_token": bos_token,
            "eos_token": eos_token,
            "call_text": call_text or CallText(),
            "seconds": seconds,
            "idle_seconds": None,
            "traits": None,
        }
        self._usual = _Lane(first)
        opened = self._usual.open()
        self.traits = Traits.from_json(opened["traits"])
        self.variables = frozenset(opened["variables"])
        # One that is started again need not be tried again.
        first["traits"] = self.traits.to_json()
        self._long = _Lane({**first, "idle_seconds": idle_seconds})

    def write(
        self, conversation: Conversation, principal: Principal = ANONYMOUS, *, is_long: bool = False
    ) -> str:
        """The prompt; raises InvalidRequestError, and EngineUnavailableError where no process can be had."""
        answer = (self._long if is_long else self._usual).answer_to(conversation, principal)
        if answer is None:
            raise InvalidRequestError(
                "The model's chat template takes too much time or memory over these messages.",
                param="messages",
                code="template_limit",
            )
        if "failure" in answer:
            raise ServerError(f"The server failed to write the prompt: {answer['failure']}.")
        if "refusal" in answer:
            raise InvalidRequestError(answer["refusal"], param=answer["param"], code=answer["code"])
        prompt: str = answer["prompt"]
        return prompt

    def close(self) -> None:
        """End both processes; what is being written is given up."""
        self._usual.close()
        self._long.close()


class _Lane:
    """A process that is started when it is asked, by one at a time. `first` has it open the template."""

    def __init__(self, first: dict[str, Any]) -> None:
        self._first = first
        self._lock = FairLock()
        self._running: Child | None = None
        self._is_closed = False

    def open(self) -> dict[str, Any]:
        """Start the process; what it has found out about the template."""
        with self._lock.held():
            return self._twice(self._start)

    def answer_to(self, conversation: Conversation, principal: Principal) -> dict[str, Any] | None:
        """Ask the process, and another one if it was lost. None if the conversation ended both."""
        with self._lock.held(principal.id, principal.weight):
            try:
                return self._twice(lambda: self._ask_started(conversation))
            except (OSError, MemoryError, TemplateSyntaxError) as error:
                # It has been opened before, so this is the machine's fault.
                log.error("the chat template cannot be run: %r", error)
            except _LostError as error:
                log.error("the chat template's process was lost twice: %s", error)
                if error.was_ended:
                    return None
        raise EngineUnavailableError(
            "The model's chat template cannot be run at the moment.", retry_after=_RETRY_SECONDS
        )

    def _twice(self, work: Callable[[], T]) -> T:
        """Do it; again with another process if that of the first time was lost."""
        try:
            return work()
        except _LostError as error:
            log.warning("the chat template's process was lost, and is started anew: %s", error)
            return work()

    def _ask_started(self, conversation: Conversation) -> dict[str, Any] | None:
        if self._running is not None and self._running.process.poll() == IDLE_STATUS:
            self._end()
        if self._running is None:
            self._start()
        return self._ask(conversation)

    def close(self) -> None:
        """End the process; what it writes is given up."""
        self._is_closed = True
        running = self._running
        if running is not None:
            running.process.kill()
        with self._lock.held():
            self._end()

    def _start(self) -> dict[str, Any]:
        """Start the process, and have it open the template."""
        if self._is_closed:
            raise ModelUnavailableError("The model is being unloaded.", retry_after=_RETRY_SECONDS)
        self._running = Child(_MODULE)
        opened = self._ask(self._first)
        if opened is not None and "fault" not in opened:
            return opened
        self._end()
        raise TemplateSyntaxError(
            "the chat template takes too much time or memory to be tried"
            if opened is None
            else opened["fault"]
        )

    def _ask(self, message: object) -> dict[str, Any] | None:
        """The process's answer; None if it reached a limit over it. Raises _LostError if it ended otherwise,
        or had to be ended.
        """
        assert self._running is not None
        answer, fault = self._running.ask(message)
        if answer is not None:
            return cast("dict[str, Any]", answer)
        status = self._end()
        if status == -signal.SIGXCPU and not fault:
            return None
        raise _LostError(fault or f"it ended with status {status}", was_ended=not fault)

    def _end(self) -> int:
        """End the process, if it runs; its status."""
        running, self._running = self._running, None
        return 0 if running is None else running.end()
