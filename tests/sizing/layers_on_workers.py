"""Loads a model several times with workers as GPUs, in a process of its own, and tells what llama.cpp logs:
`python -m tests.sizing.layers_on_workers MODEL WORKER...`, with options as JSON by standard input.
"""

import json
import logging
import re
import sys

import msgspec
from caravan.config.llama_config import WeightOptions
from caravan.llama.devices import gpus
from caravan.llama.model import Model
from caravan.llama.rpc import add_workers

LAYER = re.compile(r"layer +\d+ assigned to device (\w+),")
BUFFER = re.compile(r"load_tensors: +\w+\[\S*:(\d+)\] model buffer size = +([0-9.]+) MiB")


class Loaded(msgspec.Struct):
    """The device of each layer, the output last, and bytes of weights by the port of a worker, to 5 KiB."""

    devices: list[str]
    num_bytes: dict[str, float]


class Told(msgspec.Struct):
    """Ports of workers, the free bytes of each, and what came of each of the options."""

    ports: list[str]
    free: list[int]
    loaded: list[Loaded]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"


def main() -> None:
    """Tell it as JSON."""
    log, lines = logging.getLogger("llama.cpp"), _Lines()
    log.setLevel(logging.DEBUG)
    log.addHandler(lines)
    add_workers(sys.argv[2:])
    loaded = []
    for weights in msgspec.convert(json.load(sys.stdin), list[WeightOptions]):
        lines.text = ""
        Model(sys.argv[1], weights=weights).close()
        num_bytes: dict[str, float] = {}
        for port, size in BUFFER.findall(lines.text):
            num_bytes[port] = num_bytes.get(port, 0.0) + float(size) * (1 << 20)
        loaded.append(Loaded(LAYER.findall(lines.text), num_bytes))
    free = [gpu.free for gpu in gpus()]
    sys.stdout.write(
        msgspec.json.encode(
            Told([address.rpartition(":")[2] for address in sys.argv[2:]], free, loaded)
        ).decode()
    )


if __name__ == "__main__":
    main()
