"""Requests of all kinds, from what clients really send to what no client would, and what must be true of the
answers.
"""

import copy
import gzip
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.recording import RECORDED
from tests.waiting import PATIENCE
from tests.web.llama_clients import BODIES as LLAMA_BODIES
from tests.web.test_habits import BODIES

Json = Any

_MOST_TOKENS = 24
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "max_new_tokens")
# Routes that write no text, or have the limit among their `options`.
_UNLIMITED = frozenset(
    [
        "/v1/embeddings",
        "/v1/messages/count_tokens",
        "/v1/decisions",
        "/v1/rerank",
        "/v1/score",
        "/v1/decoding/explain",
    ]
    + ["/v1/responses/input_tokens", "/v1/responses/compact", "/embedding", "/v1/chat/completions/control"]
    + [f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings", "show")]
)
# What a server may say of a request: that it is wrong, too much, too many, for others. 500 is its own fault.
_ALLOWED = frozenset({200, 204, 400, 401, 403, 404, 405, 413, 415, 429, 431, 501, 503})
# The last events of streams that do not end as chats do.
_ENDS = (b'"error"', b'"type":"response.', b'"type":"message_stop"')
_ODD: tuple[Json, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, -1e-308, 0.5, "", "a", "\0", "\ud800",
    "é" * 300, "<|im_start|>", "{{ messages }}", "(" * 200, "[" * 200, [], {}, [None], [[]], {"": ""},
    ["a"] * 200, [1] * 200, {"a": {"a": {"a": {}}}}, {"type": "json_schema"}, {"$ref": "#"}, "^(a|a)*$",
    {"type": "object", "properties": {"x": 1}}, "root ::= root", "auto", "none", "required", "json_object",
)  # fmt: skip
_NAMES = (
    "messages", "prompt", "input", "model", "stream", "n", "stop", "tools", "tool_choice", "response_format",
    "logit_bias", "logprobs", "top_logprobs", "temperature", "seed", "grammar", "json_schema", "samplers",
    "guided_regex", "user", "role", "content", "type", "function", "name", "parameters", "background",
    "questions", "documents", "query", "options", "format", "system", "thinking", "think",
    "previous_response_id", "include", "dimensions", "encoding_format", "suffix", "echo", "best_of", "store",
    "metadata", "conversation", "items", "input_prefix", "input_suffix", "input_extra", "n_probs", "n_cmpl",
    "response_fields", "prompt_string", "n_indent", "steps", "candidates", "variants", "continue_from",
    "nonsense",
)  # fmt: skip
_PATHS = (
    "/", "/v1", "/v1/models", "/v1/models/tiny", "/v1/models/../../etc/passwd", "/v1/responses/resp_0",
    "/v1/responses/resp_0/input_items", "/v1/chat/completions", "/v1/chat/completions?limit=1&metadata[a]=b",
    "/v1/chat/completions/chatcmpl-0", "/v1/chat/completions/chatcmpl-0/messages", "/v1/conversations/conv_0",
    "/v1/conversations/conv_0/items?after=x", "/v1/conversations/conv_0/items/msg_0",
    "/metrics", "/status", "/props", "/slots",
    "/health", "/ready", "/openapi.json", "/docs", "/v1/files", "/api/generate", "/admin/models", "/%00",
    "/%0a",
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One request. With `gives_up_after`, the client leaves when so many bytes of the answer have come."""

    kind: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    has_key: bool = True
    gives_up_after: int | None = None


def recorded() -> list[tuple[str, Json]]:
    """Paths and bodies as clients send them."""
    lines = RECORDED.read_text().splitlines()
    habits = [(path, body) for _, path, body, _ in (*BODIES, *LLAMA_BODIES)]
    return [(noted["path"], noted["body"]) for noted in map(json.loads, lines)] + habits


class Fuzzer:
    """Endless requests; equal seeds make equal ones. `canary` stands in every text that a request brings."""

    def __init__(self, seed: int, model: str, canary: str) -> None:
        self._rng = random.Random(seed)
        self._model = model
        self._canary = canary
        self._recorded = recorded()

    def __iter__(self) -> Iterator[Shot]:
        makers = [self._valid, self._mutated, self._mutated, self._torn, self._elsewhere, self._odd_head]
        while True:
            yield self._rng.choice(makers)()

    def _body(self) -> tuple[str, Json]:
        path, body = self._rng.choice(self._recorded)
        body = _marked(json.loads(json.dumps(body)), self._canary)
        body["model"] = self._model
        known = [name for name in _LIMITS if name in body]
        for name in known or ["max_output_tokens" if "input" in body else "max_tokens"]:
            if path not in _UNLIMITED:
                body[name] = self._rng.randrange(1, _MOST_TOKENS)
        body.pop("previous_response_id", None)
        return path, body

    def _shot(self, kind: str, path: str, content: bytes, **options: Any) -> Shot:  # noqa: ANN401
        leaves = self._rng.random() < 0.05
        gives_up_after = self._rng.randrange(2000) if leaves else None
        return Shot(kind, "POST", path, content, gives_up_after=gives_up_after, **options)

    def _valid(self) -> Shot:
        path, body = self._body()
        return self._shot("valid", path, _encoded(body))

    def _mutated(self) -> Shot:
        path, body = self._body()
        for _ in range(self._rng.choice([1, 1, 2, 4])):
            self._mutate(body)
        return self._shot("mutated", path, _encoded(body))

    def _mutate(self, body: Json) -> None:
        """Change something somewhere in a body."""
        nodes = [node for node in _nodes(body) if node]
        if not nodes:
            return
        node: Json = self._rng.choice(nodes)
        key = self._rng.choice(list(node)) if isinstance(node, dict) else self._rng.randrange(len(node))
        change = self._rng.randrange(5)
        if change == 0:
            del node[key]
        elif change == 1:
            node[key] = copy.deepcopy(self._rng.choice(_ODD))
        elif change == 2 and isinstance(node, dict):
            node[self._rng.choice(_NAMES)] = copy.deepcopy(self._rng.choice(_ODD))
        elif change == 3 and isinstance(node, dict):
            node[self._rng.choice(_NAMES)] = node.pop(key)
        else:
            node[key] = [node[key]] * self._rng.choice([0, 1, 3, 30])

    def _torn(self) -> Shot:
        """A body whose bytes have suffered."""
        path, body = self._body()
        content = bytearray(_encoded(body))
        for _ in range(self._rng.choice([1, 2, 8])):
            place = self._rng.randrange(len(content) + 1)
            match self._rng.randrange(4):
                case 0:
                    del content[place:]
                case 1:
                    content[place:place] = self._rng.randbytes(self._rng.randrange(1, 9))
                case 2:
                    content[place : place + self._rng.randrange(1, 20)] = b""
                case _:
                    junk = [b"{", b"[" * 50, b'"', b",", b"NaN", b"\xff\xfe", b"\\u"]
                    content[place:place] = self._rng.choice(junk)
        return self._shot("torn", path, bytes(content))

    def _elsewhere(self) -> Shot:
        method = self._rng.choice(["GET", "GET", "DELETE", "PUT", "POST", "OPTIONS", "HEAD", "PATCH"])
        return Shot("elsewhere", method, self._rng.choice(_PATHS))

    def _odd_head(self) -> Shot:
        path, body = self._body()
        content = _encoded(body)
        match self._rng.randrange(5):
            case 0:
                return self._shot("no key", path, content, has_key=False)
            case 1:
                wrong = {"authorization": f"Bearer sk-{self._rng.randrange(10**9)}"}
                return self._shot("wrong key", path, content, has_key=False, headers=wrong)
            case 2:
                return self._shot("gzip", path, gzip.compress(content), headers={"content-encoding": "gzip"})
            case 3:
                packed = gzip.compress(content)[: self._rng.randrange(20)]
                return self._shot("torn gzip", path, packed, headers={"content-encoding": "gzip"})
            case _:
                headers = {
                    "content-type": self._rng.choice(["text/plain", "application/xml", ""]),
                    "x-request-id": "x" * 300,
                }
                return self._shot("odd head", path, content, headers=headers)


@dataclass
class Outcomes:
    """What came of many requests: how often which status for which kind, and all that must not be."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Lines to look at."""
        return "\n".join(
            f"{kind:12} {status} {count:6}" for (kind, status), count in sorted(self.statuses.items())
        )


def fire(
    client: httpx.Client, shot: Shot, key: dict[str, str], foreign: list[str], outcomes: Outcomes
) -> None:
    """Send a request and hold its answer against what must be; `foreign` are words of other keys."""
    headers = {"content-type": "application/json"} | (key if shot.has_key else {}) | shot.headers
    try:
        with client.stream(
            shot.method, shot.path, content=shot.body, headers=headers, timeout=PATIENCE
        ) as answer:
            received = b""
            for piece in answer.iter_raw():
                received += piece
                if shot.gives_up_after is not None and len(received) >= shot.gives_up_after:
                    return
    except httpx.HTTPError as error:
        outcomes.faults.append(f"{shot}: {error!r}")
        return
    outcomes.statuses[shot.kind, answer.status_code] += 1
    fault = _fault(shot, answer, received)
    if fault is None and any(word.encode() in received for word in foreign):
        fault = "it tells what another key has said"
    if fault is not None:
        outcomes.faults.append(f"{fault}: {shot} {answer.status_code} {received[:500]!r}")


def _fault(shot: Shot, answer: httpx.Response, received: bytes) -> str | None:
    if answer.status_code not in _ALLOWED:
        return "this status is a fault"
    if answer.status_code == 503 and "retry-after" not in answer.headers:
        return "a 503 without advice"
    if shot.method == "HEAD":
        return None
    if answer.headers.get("content-encoding") == "gzip":
        received = gzip.decompress(received)
    if answer.status_code >= 400:
        return _fault_of_error(shot, received)
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/json"):
        try:
            json.loads(received)
        except ValueError:
            return "no JSON"
    if kind.startswith("application/x-ndjson") and not _is_ended(received):
        return "lines without an end"
    if kind.startswith("text/event-stream") and not _has_ended(shot.path, received):
        return "a stream without an end"
    return None


def _fault_of_error(shot: Shot, received: bytes) -> str | None:
    try:
        error = json.loads(received)["error"]
        if isinstance(error, str) and shot.path.startswith("/api/"):
            is_told = bool(error)
        elif shot.path.startswith("/v1/messages"):
            is_told = bool(error["message"] and error["type"])
        else:
            is_told = bool(error["message"] and error["type"] and error["code"] and "param" in error)
    except (ValueError, KeyError, TypeError):
        return "no error in its route's envelope"
    return None if is_told else "an error that says too little"


def _has_ended(path: str, received: bytes) -> bool:
    last = received.strip().rpartition(b"data: ")[2]
    if path in ("/completion", "/completions", "/infill"):
        # Requests choose the fields of that event.
        return last.startswith(b"{") and b'"stop":false' not in last
    return last == b"[DONE]" or any(end in last for end in _ENDS)


def _is_ended(received: bytes) -> bool:
    last = json.loads(received.strip().rpartition(b"\n")[2])
    return "error" in last or last["done"] is True


def _encoded(body: Json) -> bytes:
    # As clients in other languages have it, surrogates and all.
    return json.dumps(body, ensure_ascii=False).encode(errors="surrogatepass")


def _marked(value: Json, canary: str) -> Json:
    """A body with a word in each text of its conversation."""
    if isinstance(value, dict):
        return {
            name: f"{canary} {inner}"
            if name in ("content", "text", "prompt", "input", "instructions") and isinstance(inner, str)
            else _marked(inner, canary)
            for name, inner in value.items()
        }
    return [_marked(inner, canary) for inner in value] if isinstance(value, list) else value


def _nodes(value: Json) -> Iterator[dict[str, Json] | list[Json]]:
    if isinstance(value, dict | list):
        yield value
        for inner in list(value.values()) if isinstance(value, dict) else value:
            yield from _nodes(inner)


def fire_many(
    address: str, model: str, tokens: dict[str, str], *, num_requests: int, seed: int, num_threads: int = 8
) -> Outcomes:
    """So many requests with the keys of `tokens`, by their canaries, of which each thread has one."""
    outcomes, left = Outcomes(), itertools.count()
    canaries = list(tokens)

    def run(number: int) -> None:
        canary = canaries[number % len(canaries)]
        key = {"authorization": f"Bearer {tokens[canary]}"}
        foreign = [other for other in canaries if other != canary]
        fuzzer = Fuzzer(seed * 1000 + number, model, canary)
        with httpx.Client(base_url=address) as client:
            for shot in fuzzer:
                if next(left) >= num_requests or len(outcomes.faults) > 20:
                    return
                fire(client, shot, key, foreign, outcomes)

    with ThreadPoolExecutor(num_threads) as pool:
        for future in [pool.submit(run, number) for number in range(num_threads)]:
            future.result()
    return outcomes
