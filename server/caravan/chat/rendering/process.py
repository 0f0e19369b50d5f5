"""A template's process: compiles and tries it, and renders until the server is gone.

Started by `caravan.runtime.children`, with a socket's number. A template is a program out of a file: here it
may take its bounded time and memory, and nothing that others need. Imports little, since it is waited for.
"""

import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.connection import IDLE_STATUS, receive, send
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.prompt_template import TemplateSyntaxError
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation
from caravan.errors import InvalidRequestError
from caravan.runtime.machine import prefer_as_victim

# Far beyond any conversation; a template that wants more is broken, or hostile.
_MAX_BYTES = 768 * 1024 * 1024
_MAX_CHARACTERS = 64 * 1024 * 1024
# What is stuck in C hears no signal, and has this much longer until the process is ended.
_GRACE_SECONDS = 2
_TOO_LONG = "The model's chat template takes too long over these messages."
_TOO_MUCH = "The model's chat template takes too much memory over these messages."


class _TooLongError(BaseException):
    """The time is up. Nothing that a template does may catch it."""


def main() -> None:
    """Serve one template."""
    prefer_as_victim()
    _bound_process()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        first = receive(connection)
        if first is not None:
            _serve(connection, first)


def _serve(connection: socket.socket, first: dict[str, Any]) -> None:
    try:
        template = _opened(first)
    except TemplateSyntaxError as error:
        send(connection, {"fault": str(error)})
        return
    send(connection, {"traits": template.traits.to_json(), "variables": sorted(template.variables)})
    while (values := _next(connection, first["idle_seconds"])) is not None:
        send(connection, _answer(template, values, first["seconds"]))


def _opened(first: dict[str, Any]) -> LocalTemplate:
    """The template, which has been tried; whatever goes wrong is a TemplateSyntaxError."""
    seconds, traits = first["seconds"], first["traits"]
    try:
        with _bounded(seconds):
            return LocalTemplate(
                first["source"],
                bos_token=first["bos_token"],
                eos_token=first["eos_token"],
                call_text=CallText(*first["call_text"]),
                traits=None if traits is None else Traits.from_json(traits),
            )
    except TemplateSyntaxError:
        raise
    except _TooLongError:
        raise TemplateSyntaxError(f"the chat template takes more than {seconds:g} s to be tried") from None
    except MemoryError:
        raise TemplateSyntaxError("the chat template takes too much memory to be tried") from None
    except Exception as error:
        traceback.print_exc()
        message = f"the chat template cannot be tried: {type(error).__name__}: {error}"
        raise TemplateSyntaxError(message) from error


def _next(connection: socket.socket, idle_seconds: float | None) -> list[Any] | None:
    """Wait for what is asked next; None when the server is gone. After `idle_seconds`, end this process."""
    if idle_seconds is not None and not select.select([connection], [], [], idle_seconds)[0]:
        sys.exit(IDLE_STATUS)
    return receive(connection)


def _answer(template: LocalTemplate, values: list[Any], seconds: float) -> dict[str, Any]:
    try:
        with _bounded(seconds):
            prompt = template.write(Conversation.of(values))
    except InvalidRequestError as error:
        return {"refusal": error.message, "param": error.param, "code": error.code}
    except _TooLongError:
        return _refusal(_TOO_LONG)
    except MemoryError:
        return _refusal(_TOO_MUCH)
    except Exception as error:
        # A fault of ours, over which the process need not end.
        traceback.print_exc()
        return {"failure": type(error).__name__}
    return {"prompt": prompt} if len(prompt) <= _MAX_CHARACTERS else _refusal(_TOO_MUCH)


def _refusal(message: str) -> dict[str, Any]:
    return {"refusal": message, "param": "messages", "code": "template_limit"}


def _bound_process() -> None:
    """Bound this process's memory, and what it leaves behind."""
    signal.signal(signal.SIGPROF, _stop)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    # macOS knows this limit, and takes none.
    if sys.platform != "darwin":
        _lower(resource.RLIMIT_AS, _MAX_BYTES)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Raise _TooLongError after so much time on a processor, and end the process if that does not help."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _lower(resource.RLIMIT_CPU, int(used + seconds) + _GRACE_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _lower(kind: int, limit: int) -> None:
    """Set a limit that may be set anew."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _TooLongError


if __name__ == "__main__":
    main()
