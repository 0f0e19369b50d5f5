"""A template in a process of its own, which can be given up: whatever it does, others go on."""

import logging
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from caravan.auth.principal import ANONYMOUS, Principal
from caravan.chat.rendering import frames, waiting
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation
from caravan.chat.template_source import TemplateSyntaxError
from caravan.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    ModelUnavailableError,
    ServerError,
)
from caravan.runtime import children
from caravan.runtime.fair_queue import FairLock

T = TypeVar("T")

log = logging.getLogger(__name__)

_MODULE = "caravan.chat.rendering.process"
# Of processor time; a conversation of megabytes takes a tenth of it.
_SECONDS = 5.0
# For a machine that does not get to it, or a process that does not end as it should.
_WALL_SECONDS = 60.0
_ENDING_SECONDS = 0.5
_RETRY_SECONDS = 5


class _LostError(Exception):
    """The process is gone. `was_ended` if it ended by itself, or somebody ended it who is not us."""

    def __init__(self, message: str, *, was_ended: bool) -> None:
        super().__init__(message)
        self.was_ended = was_ended


class _Process(NamedTuple):
    process: subprocess.Popen[bytes]
    connection: socket.socket


class TemplateProcess:
    """A PromptTemplate whose work is done elsewhere, one prompt at a time. Any thread may ask; each key has a
    share of the time.

    A prompt that takes more than `seconds` of a processor is refused. With `like`, the template is one that
    has been tried there: its process starts when it is asked, and ends by itself when nobody has asked for
    `idle_seconds`. Raises TemplateSyntaxError where the template does not compile or cannot be tried, and
    OSError.
    """

    def __init__(
        self,
        source: str,
        *,
        bos_token: str = "",
        eos_token: str = "",
        call_text: CallText | None = None,
        seconds: float = _SECONDS,
        like: PromptTemplate | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        self.source = source
        self._first: dict[str, Any] = {
            "source": source,
            "bos_token": bos_token,
            "eos_token": eos_token,
            "call_text": call_text or CallText(),
            "seconds": seconds,
            "idle_seconds": idle_seconds,
            "traits": None,
        }
        self._lock = FairLock()
        self._running: _Process | None = None
        self._is_closed = False
        if like is not None:
            self.traits, self.variables = like.traits, like.variables
        else:
            with self._lock.held():
                opened = self._twice(self._start)
            self.traits = Traits.from_json(opened["traits"])
            self.variables = frozenset(opened["variables"])
        # One that is started again need not be tried again.
        self._first["traits"] = self.traits.to_json()

    def write(
        self,
        conversation: Conversation,
        principal: Principal = ANONYMOUS,
        *,
        is_long: bool = False,  # noqa: ARG002 (all are the same to one process)
    ) -> str:
        """The prompt; raises InvalidRequestError, and EngineUnavailableError where no process can be had."""
        with self._lock.held(principal.id, principal.weight):
            answer = self._answer_to(conversation)
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

    def _answer_to(self, conversation: Conversation) -> dict[str, Any] | None:
        """What the process makes of it; None if it ends over it. One that ended otherwise is replaced."""
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
        if self._running is not None and self._running.process.poll() == frames.IDLE_STATUS:
            self._end()
        if self._running is None:
            self._start()
        return self._ask(conversation)

    def close(self) -> None:
        """End the process; what is being written is given up."""
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
        self._running = _launched()
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
        process, connection = self._running
        fault = ""
        try:
            frames.send(connection, message)
            fault = waiting.fault_of(connection, process.pid)
            answer = None if fault else frames.receive(connection)
        except (OSError, ValueError, MemoryError, OverflowError) as error:
            answer, fault = None, f"it cannot be understood: {error!r}" if process.poll() is None else ""
        if answer is not None:
            return cast("dict[str, Any]", answer)
        status = self._end()
        if status == -signal.SIGXCPU and not fault:
            return None
        raise _LostError(fault or f"it ended with status {status}", was_ended=not fault)

    def _end(self) -> int:
        """End the process; its status."""
        running, self._running = self._running, None
        if running is None:
            return 0
        running.connection.close()
        status = running.process.poll()
        if status is None:
            status = _ended_by_itself(running.process)
        running.process.kill()
        running.process.wait()
        return status


def _ended_by_itself(process: "subprocess.Popen[bytes]") -> int:
    """The status of a process that is about to end; 0 for one that is not."""
    try:
        return process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        return 0


def _launched() -> _Process:
    ours, theirs = socket.socketpair()
    ours.settimeout(_WALL_SECONDS)
    with theirs:
        try:
            process = children.start(_MODULE, theirs)
        except BaseException:
            ours.close()
            raise
    return _Process(process, ours)
