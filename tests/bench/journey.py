"""Follows streamed chats through a server, and counts files, functions and objects that each of them meets.

Imports nothing of the server: it runs a module as `python -m` does, with a profiler in all of its threads,
and is a client to it from a thread of its own. `python tests/bench/journey.py caravan` follows this tree's.
"""

import argparse
import http.client
import inspect
import json
import os
import runpy
import socket
import sys
import threading
import time
from collections import Counter
from types import CodeType, FrameType

_BODY = json.dumps(
    {"messages": [{"role": "user", "content": "Tell me a short story."}], "stream": True, "max_tokens": 24}
)
_HEADERS = {"Content-Type": "application/json"}
# What timers enter while one of them runs, they hardly enter in all.
_NUM_ROUNDS = 20
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Journey:
    """What has been entered while `is_on`, of files below a folder that is called as the module is."""

    def __init__(self, module: str) -> None:
        self.is_on = False
        self.num_tokens = 0
        self.calls: Counter[CodeType] = Counter()
        self.made: Counter[str] = Counter()
        self._rounds: list[tuple[Counter[CodeType], Counter[str]]] = []
        self._part = os.sep + module + os.sep

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Implements a profile function."""
        if not self.is_on or event != "call":
            return
        code = frame.f_code
        if self._part in code.co_filename:
            self.calls[code] += 1
        if code.co_name == "__init__" and "self" in frame.f_locals:
            kind = type(frame.f_locals["self"])
            if kind.__module__.split(".")[0] == self._part.strip(os.sep):
                self.made[f"{kind.__module__}.{kind.__qualname__}"] += 1

    def round(self, port: int) -> None:
        """Follow one chat, and keep what all so far have met, as often as the one that met it least often."""
        self.calls.clear()
        self.made.clear()
        self.is_on = True
        self.num_tokens = _ask(port)
        self.is_on = False
        self._rounds.append((self.calls.copy(), self.made.copy()))
        for calls, made in self._rounds:
            self.calls &= calls
            self.made &= made

    def report(self) -> str:
        """Lines for people."""
        num_tokens = self.num_tokens
        files = {code.co_filename.partition(self._part)[2] for code in self.calls}
        resumed = sum(n for code, n in self.calls.items() if code.co_flags & _GENERATORS)
        lines = [
            f"files entered: {len(files)}",
            f"functions entered: {len(self.calls)}",
            f"classes instantiated: {len(self.made)}",
            f"resumptions of generators a token: {resumed / num_tokens:.1f}",
            f"calls a token: {sum(self.calls.values()) / num_tokens:.0f}",
        ]
        return "\n".join([*lines, "", *sorted(files), "", *sorted(self.made)])


def _ask(port: int) -> int:
    """One streamed chat; the number of its events with text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/chat/completions", _BODY, _HEADERS)
    answer = connection.getresponse().read().decode()
    assert "[DONE]" in answer, answer
    return sum('"content":"' in line and '"content":""' not in line for line in answer.splitlines())


def _follow(journey: Journey, port: int) -> None:
    try:
        while True:
            time.sleep(0.2)
            try:
                _ask(port)
                break
            except (ConnectionError, AssertionError):
                continue
        time.sleep(1)
        for _ in range(_NUM_ROUNDS):
            journey.round(port)
        print(journey.report(), flush=True)
    finally:
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", help="what `python -m` runs: caravan")
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    journey = Journey(arguments.module)
    threading.Thread(target=_follow, args=(journey, port), daemon=True).start()
    threading.setprofile(journey)
    sys.setprofile(journey)
    sys.argv = [arguments.module, "serve", "--port", str(port), "--log-level", "warning"]
    runpy.run_module(arguments.module, run_name="__main__")


if __name__ == "__main__":
    main()
