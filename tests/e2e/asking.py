"""One question on either route, whole or streamed, and the answer in one form."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
PROMPT = "the wind in the trees and"


@dataclass
class ParsedChoice:
    """What came back; `error` instead of texts if the question was refused."""

    status: int
    texts: list[str] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    num_tokens: int = 0
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    mu: dict[str, float] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.texts[0]

    @property
    def num_different(self) -> int:
        """How many different texts the choices are."""
        return len(set(self.texts))


class Asker:
    """Asks one route in one way."""

    def __init__(self, http: httpx.Client, route: str, *, stream: bool) -> None:
        self._http = http
        self.route = route
        self.stream = stream

    def __call__(self, **fields: object) -> ParsedChoice:
        """The answer to PROMPT under `fields`, seeded unless they say otherwise."""
        body: dict[str, object] = {"model": "tiny", "seed": 7, "max_tokens": 8, "debug": {"decoding": True}}
        if self.route == CHAT:
            body["messages"] = [{"role": "user", "content": PROMPT}]
        else:
            body["prompt"] = PROMPT
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        body = {name: value for name, value in (body | fields).items() if value is not None}
        response = self._http.post(self.route, json=body)
        if response.status_code != 200:
            return ParsedChoice(response.status_code, error=response.json()["error"])
        events = _events(response.text) if self.stream else iter([response.json()])
        return _folded(events)


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def _folded(events: Iterator[dict[str, Any]]) -> ParsedChoice:
    reply = ParsedChoice(200)
    for event in events:
        assert "error" not in event, event
        for choice in event["choices"]:
            while len(reply.texts) <= choice["index"]:
                reply.texts.append("")
                reply.reasons.append(None)
            part = choice.get("delta") or choice.get("message") or choice
            reply.texts[choice["index"]] += part.get("content") or part.get("text") or ""
            reply.reasons[choice["index"]] = choice["finish_reason"] or reply.reasons[choice["index"]]
        reply.num_tokens = (event.get("usage") or {}).get("completion_tokens", 0)
        for stage in event.get("debug", {}).get("decoding", []):
            reply.stages[stage["stage"]] = stage["values"]
            reply.mu |= stage.get("mu") or {}
    return reply
