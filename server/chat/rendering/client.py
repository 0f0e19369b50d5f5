"""A template in a process of its own, which can be given up: whatever it does, others go on."""

import contextlib
import socket
import subprocess
import sys
from typing import Any, NamedTuple

from server import caller
from server.chat.rendering import frames
from server.chat.rendering.call_text import CallText
from server.chat.rendering.traits import Traits
from server.chat.rendering.turns import Conversation
from server.chat.template_source import TemplateSyntaxError
from server.errors import InvalidRequestError
from server.sharing.fair_lock import FairLock

_MODULE = "server.chat.rendering.process"
# Of processor time; a conversation of megabytes takes a tenth of it.
_SECONDS = 5.0
# For a machine that does not get to it, or a process that does not end as it should.
_WALL_SECONDS = 60.0


class _Process(NamedTuple):
    process: subprocess.Popen[bytes]
    connection: socket.socket


class TemplateProcess:
    """A PromptTemplate whose work is done elsewhere, one prompt at a time. Any thread may ask; each key has a
    share of the time.

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
    ) -> None:
        self.source = source
        self._first: dict[str, Any] = {
            "source": source,
            "bos_token": bos_token,
            "eos_token": eos_token,
            "call_text": call_text or CallText(),
            "seconds": seconds,
            "traits": None,
        }
        self._lock = FairLock()
        self._running: _Process | None = None
        self._is_closed = False
        with self._lock.held():
            opened = self._start()
        self.traits = Traits.from_json(opened["traits"])
        self.variables = frozenset(opened["variables"])
        # One that is started again need not be tried again.
        self._first["traits"] = opened["traits"]

    def write(self, conversation: Conversation) -> str:
        """The prompt; raises InvalidRequestError."""
        who = caller.current()
        with self._lock.held(who.id, who.weight):
            if self._running is None:
                self._start()
            answer = self._ask(conversation)
        if answer is None:
            raise InvalidRequestError(
                "The model's chat template takes too much time or memory over these messages.",
                param="messages",
                code="template_limit",
            )
        if "refusal" in answer:
            raise InvalidRequestError(answer["refusal"], param=answer["param"], code=answer["code"])
        prompt: str = answer["prompt"]
        return prompt

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
            raise InvalidRequestError("The model is being unloaded.", param="model")
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
        """The process's answer; None if it ended over it, or had to be."""
        assert self._running is not None
        connection = self._running.connection
        answer: dict[str, Any] | None = None
        with contextlib.suppress(OSError):
            frames.send(connection, message)
            answer = frames.receive(connection)
        if answer is None:
            self._end()
        return answer

    def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.connection.close()
            running.process.kill()
            running.process.wait()


def _launched() -> _Process:
    ours, theirs = socket.socketpair()
    ours.settimeout(_WALL_SECONDS)
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 (ourselves)
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
    return _Process(process, ours)
