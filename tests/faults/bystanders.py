"""Ordinary clients beside a fault: their greedy texts must not change, and their tokens must keep coming."""

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.waiting import PATIENCE

_PROMPTS = ("Once upon a time", "The quick brown fox", "In the beginning")
_NUM_TOKENS = 64


@dataclass
class Seen:
    """What all bystanders together saw; gaps and times in seconds."""

    num_answers: int = 0
    # One line each for an answer that was an error or broke off: what the client was told.
    lost: list[str] = field(default_factory=list)
    # One line each for a text that was not the one of the undisturbed server.
    changed: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    longest_wait: float = 0.0
    # For the first event of each answer.
    waits: list[float] = field(default_factory=list)

    def assert_unharmed(self) -> None:
        """Every answer came whole and with the right text, and there was at least one."""
        assert self.lost == []
        assert self.changed == []
        assert self.num_answers > 0


class Bystanders:
    """Some clients that read one greedy stream after the other until they are told to stop.

    Before anything is disturbed, each prompt is asked once: that is the text which has to come again. With
    `keys`, client number i uses the key i (round and round). Where they are `cold`, nothing of a prompt is in
    memory when it comes.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        count: int = 2,
        keys: tuple[str, ...] = (),
        prompts: tuple[str, ...] = _PROMPTS,
        num_tokens: int = _NUM_TOKENS,
        cold: bool = False,
    ) -> None:
        self._address = address
        self._model = model
        self._prompts, self._num_tokens, self._is_cold = prompts, num_tokens, cold
        self._headers = [{"Authorization": f"Bearer {key}"} for key in keys] or [{}]
        self.seen = Seen()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._expected = {prompt: self._read(prompt, self._headers[0])[0] for prompt in prompts}
        assert "" not in self._expected.values()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    @property
    def expected(self) -> list[str]:
        """The texts that have to come, in the form of `Seen.changed`."""
        return [_line(prompt, text) for prompt, text in self._expected.items()]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def wait_for(self, num_answers: int) -> None:
        """Return when so many more answers have come, whole or not."""
        wanted = self._num_ended() + num_answers
        deadline = time.monotonic() + PATIENCE
        while self._num_ended() < wanted:
            assert time.monotonic() < deadline, f"bystanders wait without an end: {self.seen}"
            time.sleep(0.01)

    def stop(self) -> Seen:
        """Let the last answers end; what was seen."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"a bystander waits without an end: {self.seen}"
        return self.seen

    def _num_ended(self) -> int:
        with self._lock:
            return self.seen.num_answers + len(self.seen.lost)

    def _run(self, number: int) -> None:
        headers, turn = self._headers[number % len(self._headers)], number
        while not self._over.is_set():
            prompt, turn = self._prompts[turn % len(self._prompts)], turn + 1
            try:
                text, wait, gap = self._read(prompt, headers)
            except (httpx.HTTPError, _BrokenAnswerError) as error:
                with self._lock:
                    self.seen.lost.append(f"{type(error).__name__}: {error}")
                time.sleep(0.05)  # as a client does that tries again
                continue
            with self._lock:
                self.seen.num_answers += 1
                self.seen.longest_gap = max(self.seen.longest_gap, gap)
                self.seen.longest_wait = max(self.seen.longest_wait, wait)
                self.seen.waits.append(wait)
                if text != self._expected[prompt]:
                    self.seen.changed.append(_line(prompt, text))

    def _read(self, prompt: str, headers: dict[str, str]) -> tuple[str, float, float]:
        """A stream to its end: the text, the time to its first event and the longest time between two."""
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": self._num_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
        } | ({"cache_salt": uuid.uuid4().hex} if self._is_cold else {})
        text, gaps, reason = "", [], None
        last = time.monotonic()
        with httpx.stream(
            "POST", f"{self._address}/v1/completions", json=body, headers=headers, timeout=PATIENCE
        ) as answer:
            if answer.status_code != 200:
                raise _BrokenAnswerError(f"{answer.status_code}: {answer.read().decode()[:300]}")
            for event in _events(answer):
                now = time.monotonic()
                gaps.append(now - last)
                last = now
                text += event["choices"][0]["text"]
                reason = event["choices"][0]["finish_reason"] or reason
        if reason != "length":
            raise _BrokenAnswerError(f"the stream ended after {len(text)} characters without a reason")
        return text, gaps[0], max(gaps[1:], default=0.0)


@contextlib.contextmanager
def bystanders(
    address: str,
    model: str,
    *,
    count: int = 2,
    keys: tuple[str, ...] = (),
    prompts: tuple[str, ...] = _PROMPTS,
    num_tokens: int = _NUM_TOKENS,
    cold: bool = False,
) -> Generator[Bystanders, None, None]:
    """Bystanders for a `with` block, asking from its beginning to its end; `seen` is complete after it."""
    crowd = Bystanders(
        address, model, count=count, keys=keys, prompts=prompts, num_tokens=num_tokens, cold=cold
    )
    crowd.start()
    try:
        yield crowd
    finally:
        crowd.stop()


def _line(prompt: str, text: str) -> str:
    return f"{prompt[:60]!r}: {text!r}"


class _BrokenAnswerError(Exception):
    """An answer that was an error or broke off."""


def _events(answer: httpx.Response) -> Generator[dict[str, Any], None, None]:
    for line in answer.iter_lines():
        if line.startswith("data: {"):
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                raise _BrokenAnswerError(json.dumps(event["error"]))
            yield event
