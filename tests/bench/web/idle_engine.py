"""An engine process that computes nothing: every choice gets a token of text each step, until its limit."""

import queue
import socket
import sys
import threading
import time

import msgspec
from caravan.engine.embedding.values import ModelTraits
from caravan.engine.ipc import messages
from caravan.engine.outputs import EngineStats, FinishReason, TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.sizing.sizes import resources, sizes_of

# About a step of many streams, and long enough for the web process to come to rest in between.
STEP_SECONDS = 0.005
_CONTEXT_SIZE = 8192
_TEXT = " word"


def _outputs(running: dict[str, int], requests: dict[str, GenerationRequest]) -> list[TokenOutput]:
    outputs = []
    for name in list(running):
        running[name] += 1
        is_last = running[name] == requests[name].params.max_tokens
        outputs.append(
            TokenOutput(
                request_id=name,
                text=_TEXT,
                finish_reason=FinishReason.LENGTH if is_last else None,
                num_completion_tokens=running[name],
                queue_seconds=0.001 if running[name] == 1 else None,
            )
        )
        if is_last:
            del running[name], requests[name]
    return outputs


def main() -> None:
    """Talk to the parent at the other end of the socket, as `caravan.engine.worker` does."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    reader = connection.makefile("rb")

    def receive() -> messages.ToEngine | None:
        prefix = reader.read(messages.LENGTH_SIZE)
        if not prefix:
            return None
        return messages.to_engine_decoder.decode(reader.read(messages.body_length(prefix)))

    load = receive()
    assert isinstance(load, messages.Load)
    config = msgspec.structs.replace(load.config, context_size=_CONTEXT_SIZE, num_cells=_CONTEXT_SIZE)
    sizes = sizes_of(config, resources())
    connection.sendall(messages.encode(messages.Loaded()))
    connection.sendall(messages.encode(messages.Ready(sizes, "", ModelTraits())))
    inbox: queue.SimpleQueue[messages.ToEngine | None] = queue.SimpleQueue()

    def listen() -> None:
        while (message := receive()) is not None:
            inbox.put(message)
        inbox.put(None)

    threading.Thread(target=listen, daemon=True).start()
    running: dict[str, int] = {}
    requests: dict[str, GenerationRequest] = {}
    while True:
        while not running or not inbox.empty():
            message = inbox.get()
            if isinstance(message, GenerationRequest):
                requests[message.id] = message
                running[message.id] = 0
            elif message is None or isinstance(message, messages.Stop):
                return
        time.sleep(STEP_SECONDS)
        stepped = messages.Stepped(_outputs(running, requests), EngineStats(num_running=len(running)))
        connection.sendall(messages.encode(stepped))


if __name__ == "__main__":
    main()
