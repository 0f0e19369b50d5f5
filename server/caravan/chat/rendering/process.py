"""A template's process: compiles and tries it, and renders until the server is gone.

Started by `caravan.runtime.children`, with a socket's number. A template is a program out of a file: here it
may take its bounded time and memory, and nothing that others need. Imports little, since it is waited for.
"""

import select
import socket
import sys
import traceback
from typing import Any

from caravan.chat.rendering import frames, limits
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.local import LocalTemplate
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import Conversation
from caravan.chat.template_source import TemplateSyntaxError
from caravan.errors import InvalidRequestError
from caravan.runtime.machine import prefer_as_victim

_TOO_LONG = "The model's chat template takes too long over these messages."
_TOO_MUCH = "The model's chat template takes too much memory over these messages."


def main() -> None:
    """Serve one template."""
    prefer_as_victim()
    limits.bound_process()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        first = frames.receive(connection)
        if first is not None:
            _serve(connection, first)


def _serve(connection: socket.socket, first: dict[str, Any]) -> None:
    seconds = first["seconds"]
    try:
        with limits.bounded(seconds):
            template = _opened(first)
    except TemplateSyntaxError as error:
        frames.send(connection, {"fault": str(error)})
        return
    except limits.TooLongError:
        frames.send(connection, {"fault": f"the chat template takes more than {seconds:g} s to be tried"})
        return
    except MemoryError:
        frames.send(connection, {"fault": "the chat template takes too much memory to be tried"})
        return
    except Exception as error:
        traceback.print_exc()
        frames.send(
            connection, {"fault": f"the chat template cannot be tried: {type(error).__name__}: {error}"}
        )
        return
    frames.send(connection, {"traits": template.traits.to_json(), "variables": sorted(template.variables)})
    while (values := _next(connection, first["idle_seconds"])) is not None:
        frames.send(connection, _answer(template, values, seconds))


def _next(connection: socket.socket, idle_seconds: float | None) -> list[Any] | None:
    """What is asked next; None when the server is gone. Ends this process when nothing is for so long."""
    if idle_seconds is not None and not select.select([connection], [], [], idle_seconds)[0]:
        sys.exit(frames.IDLE_STATUS)
    return frames.receive(connection)


def _opened(first: dict[str, Any]) -> LocalTemplate:
    traits = first["traits"]
    return LocalTemplate(
        first["source"],
        bos_token=first["bos_token"],
        eos_token=first["eos_token"],
        call_text=CallText(*first["call_text"]),
        traits=None if traits is None else Traits.from_json(traits),
    )


def _answer(template: LocalTemplate, values: list[Any], seconds: float) -> dict[str, Any]:
    try:
        with limits.bounded(seconds):
            prompt = template.write(Conversation.of(values))
    except InvalidRequestError as error:
        return {"refusal": error.message, "param": error.param, "code": error.code}
    except limits.TooLongError:
        return _refusal(_TOO_LONG)
    except MemoryError:
        return _refusal(_TOO_MUCH)
    except Exception as error:
        # A fault of ours, over which the process need not end.
        traceback.print_exc()
        return {"failure": type(error).__name__}
    return {"prompt": prompt} if len(prompt) <= limits.MAX_CHARACTERS else _refusal(_TOO_MUCH)


def _refusal(message: str) -> dict[str, Any]:
    return {"refusal": message, "param": "messages", "code": "template_limit"}


if __name__ == "__main__":
    main()
