"""The example requests, in an order in which each of them works on a new server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The model that ships: on a server that serves no other, all examples work as they stand.
MODEL = "caravan-resident"

_CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]
_CHAT = {"model": MODEL, "messages": _CAPITAL, "max_tokens": 32, "temperature": 0}
_CHATS, _RESPONSES, _CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"
_CONVERSATION = f"{_CONVERSATIONS}/{{conversation_id}}"
_ITEM = f"{_CONVERSATION}/items/{{item_id}}"


@dataclass(frozen=True, kw_only=True)
class ExampleRequest:
    """A request as the document shows it.

    `keeps` names path parameters of later requests, with where in the answer their values are; `fills` are
    fields of the body with the names of such parameters. A `form` has a `file`. One that `waits_for` a status
    is sent again until it gets it. One that is not shown only makes what the next one needs.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)
    waits_for: str | None = None
    is_shown: bool = True


def _get(path: str, **query: str) -> ExampleRequest:
    return ExampleRequest(method="get", path=path, query=query)


def _post(path: str, body: Mapping[str, Any] | None = None, **keeps: tuple[str | int, ...]) -> ExampleRequest:
    return ExampleRequest(method="post", path=path, body=body, keeps=keeps)


def _delete(path: str) -> ExampleRequest:
    return ExampleRequest(method="delete", path=path)


def _unshown(path: str, body: Mapping[str, Any], **keeps: tuple[str | int, ...]) -> ExampleRequest:
    return ExampleRequest(method="post", path=path, body=body, keeps=keeps, is_shown=False)


_STORED = (
    _post(_CHATS, {**_CHAT, "store": True, "metadata": {"topic": "geography"}}, completion_id=("id",)),
    _get(_CHATS, limit="1"),
    _get(f"{_CHATS}/{{completion_id}}"),
    _post(f"{_CHATS}/{{completion_id}}", {"metadata": {"topic": "capitals"}}),
    _get(f"{_CHATS}/{{completion_id}}/messages"),
    _delete(f"{_CHATS}/{{completion_id}}"),
    _post(f"{_CHATS}/control", {"id": "chatcmpl-1", "action": "reasoning_end"}),
    _post(
        "/v1/completions", {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}
    ),
    _post(
        _RESPONSES,
        {
            "model": MODEL,
            "input": "What is the capital of France?",
            "max_output_tokens": 32,
            "temperature": 0,
        },
        response_id=("id",),
    ),
    _post(f"{_RESPONSES}/input_tokens", {"model": MODEL, "input": "What is the capital of France?"}),
    _post(f"{_RESPONSES}/compact", {"model": MODEL, "input": "What is the capital of France?"}),
    _get(f"{_RESPONSES}/{{response_id}}"),
    _get(f"{_RESPONSES}/{{response_id}}/input_items"),
    _delete(f"{_RESPONSES}/{{response_id}}"),
    _unshown(
        _RESPONSES,
        {"model": MODEL, "input": "Count to a million.", "background": True, "max_output_tokens": 1500},
        response_id=("id",),
    ),
    _post(f"{_RESPONSES}/{{response_id}}/cancel"),
    _post(
        _CONVERSATIONS,
        {"items": [{"role": "user", "content": "My name is Ada."}], "metadata": {"topic": "names"}},
        conversation_id=("id",),
    ),
    _get(_CONVERSATION),
    _post(_CONVERSATION, {"metadata": {"topic": "people"}}),
    _post(
        f"{_CONVERSATION}/items",
        {"items": [{"role": "assistant", "content": "Hello, Ada!"}]},
        item_id=("data", 0, "id"),
    ),
    _get(f"{_CONVERSATION}/items", limit="1"),
    _get(_ITEM),
    _delete(_ITEM),
    _delete(_CONVERSATION),
)


def _line(name: str, prompt: str, num_tokens: int) -> str:
    body = {"model": MODEL, "prompt": prompt, "max_tokens": num_tokens}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/completions", "body": body})


_FILES, _BATCHES = "/v1/files", "/v1/batches"
_INPUT = "\n".join([_line("first", "Once upon a time", 8), _line("second", "The sea", 8)])
_LONG_INPUT = "\n".join(_line(f"line-{number}", "Once", 1500) for number in range(100))


def _upload(text: str, *, is_shown: bool = True) -> ExampleRequest:
    form = {"purpose": "batch", "file": text}
    keeps = {"file_id": ("id",)}
    return ExampleRequest(method="post", path=_FILES, form=form, keeps=keeps, is_shown=is_shown)


def _batch(*, is_shown: bool = True) -> ExampleRequest:
    return ExampleRequest(
        method="post",
        path=_BATCHES,
        body={"endpoint": "/v1/completions", "completion_window": "24h", "metadata": {"topic": "stories"}},
        fills={"input_file_id": "file_id"},
        keeps={"batch_id": ("id",)},
        is_shown=is_shown,
    )


def _awaited(status: str, *, is_shown: bool = True) -> ExampleRequest:
    return ExampleRequest(method="get", path=f"{_BATCHES}/{{batch_id}}", waits_for=status, is_shown=is_shown)


_IN_BATCHES = (
    _upload(_INPUT),
    _get(_FILES, limit="1"),
    _get(f"{_FILES}/{{file_id}}"),
    _get(f"{_FILES}/{{file_id}}/content"),
    _batch(),
    _awaited("completed"),
    _get(_BATCHES, limit="1"),
    _upload(_LONG_INPUT, is_shown=False),
    _batch(is_shown=False),
    _awaited("in_progress", is_shown=False),
    _post(f"{_BATCHES}/{{batch_id}}/cancel"),
    _upload(_INPUT, is_shown=False),
    _delete(f"{_FILES}/{{file_id}}"),
)

_OPENAI_LIKE = (
    _post("/v1/messages", {"model": MODEL, "max_tokens": 32, "messages": _CAPITAL, "temperature": 0}),
    _post("/v1/messages/count_tokens", {"model": MODEL, "messages": _CAPITAL}),
    _post(
        "/v1/decisions",
        {
            "model": MODEL,
            "input": "It snows, and the lake is frozen.",
            "questions": [
                {
                    "type": "choice",
                    "name": "season",
                    "instructions": "Which season is it?",
                    "choices": [{"value": "summer"}, {"value": "winter"}],
                },
                {
                    "type": "score",
                    "name": "cold",
                    "instructions": "How cold is it?",
                    "levels": [{"label": "warm"}, {"label": "cool"}, {"label": "freezing"}],
                },
            ],
        },
    ),
    *(
        _post(
            path,
            {"model": MODEL, "query": "weather", "documents": ["It snows.", "A cat sleeps."], "top_n": 2},
        )
        for path in ("/rerank", "/v1/rerank", "/v2/rerank")
    ),
    _post("/v1/score", {"model": MODEL, "text_1": "weather", "text_2": ["It snows.", "A cat sleeps."]}),
    _post(
        "/v1/decoding/explain",
        {
            "model": MODEL,
            "prompt": "Once upon a time",
            "steps": 2,
            "candidates": 2,
            "seed": 1,
            "variants": [{"mirostat": 2}],
        },
    ),
    _post("/v1/embeddings", {"model": MODEL, "input": ["the wind in the trees", "the sea"], "dimensions": 8}),
    _post("/tokenize", {"model": MODEL, "prompt": "the sea", "return_token_strs": True}),
    _post("/detokenize", {"model": MODEL, "tokens": [300, 301, 302]}),
    _post("/apply-template", {"model": MODEL, "messages": _CAPITAL}),
    _get("/v1/models"),
    _get("/v1/models/{model_id}"),
)

_LLAMA_CPP = (
    _post("/completion", {"model": MODEL, "prompt": "Once upon a time", "n_predict": 16, "temperature": 0}),
    _post(
        "/infill",
        {
            "model": MODEL,
            "input_prefix": "def add(a, b):\n",
            "input_suffix": "\n\nadd(1, 2)",
            "n_predict": 16,
        },
    ),
    _post("/embedding", {"model": MODEL, "content": "the sea"}),
    _get("/props", model=MODEL),
    _get("/slots", model=MODEL),
)

_OLLAMA = (
    _post(
        "/api/chat",
        {
            "model": MODEL,
            "messages": _CAPITAL,
            "stream": False,
            "options": {"num_predict": 32, "temperature": 0},
        },
    ),
    _post(
        "/api/generate",
        {
            "model": MODEL,
            "prompt": "What is the capital of France?",
            "stream": False,
            "options": {"num_predict": 32, "temperature": 0},
        },
    ),
    _post("/api/embed", {"model": MODEL, "input": ["the wind in the trees", "the sea"], "dimensions": 8}),
    _post("/api/embeddings", {"model": MODEL, "prompt": "the sea"}),
    _get("/api/tags"),
    _get("/api/ps"),
    _post("/api/show", {"model": MODEL}),
    _get("/api/version"),
)

_OPERATIONS = (
    _get("/"),
    _get("/health"),
    _get("/ready"),
    _get("/load"),
    _get("/status"),
    _get("/metrics"),
    _get("/admin/usage", days="1"),
    _post("/admin/models/{model_id}/unload"),
    _post("/admin/models/{model_id}/load"),
)

REQUESTS: tuple[ExampleRequest, ...] = (
    *_STORED,
    *_IN_BATCHES,
    *_OPENAI_LIKE,
    *_LLAMA_CPP,
    *_OLLAMA,
    *_OPERATIONS,
)

# Those that stream, too, with `stream` in the body.
STREAMED = frozenset(
    {
        *(_CHATS, "/v1/completions", _RESPONSES, "/v1/messages"),
        *("/completion", "/infill", "/api/chat", "/api/generate"),
    }
)
# What is stored while it streams can be streamed again.
STREAMED_AGAIN = f"{_RESPONSES}/{{response_id}}"
# Operations that are always refused, as there is nothing to ask for, or that need a file of the server's own
# or a model that hears.
REFUSED = frozenset(
    {
        *(("post", f"/api/{name}") for name in ("pull", "push", "create", "copy", "blobs/{digest}")),
        ("delete", "/api/delete"),
        ("post", "/v1/audio/transcriptions"),
        ("post", "/admin/models/{model_id}/adapters"),
        ("delete", "/admin/models/{model_id}/adapters/{name}"),
    }
)
