"""The server, as a search asks it: answers, decisions, tokens. Failures that pass are tried again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from caravan.tune.errors import SearchError, TrialError
from caravan.tune.space import Parameters
from caravan.tune.task import Prompt, Task

# Until an answer is there, which a long queue may delay.
_PATIENCE = httpx.Timeout(20, read=900)
_ATTEMPTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
# What a server answers that is busy or starts again, and what it answers to nobody with this key or name.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HOPELESS = {401, 403, 404}


@dataclass(frozen=True)
class Answer:
    """What the model has written, and what that took."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass
class Spent:
    """What has been asked of the server so far."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Client:
    """Asks one server, with at most `parallel` requests at once. Belongs to one event loop."""

    http: httpx.AsyncClient
    task: Task
    model: str
    answered: Callable[[], None]
    limit: asyncio.Semaphore
    spent: Spent = field(default_factory=Spent)

    async def answer(self, prompt: Prompt, parameters: Parameters, seed: int) -> Answer:
        """Have the model answer. Raises TrialError, SearchError."""
        body = {**self.task.request, **parameters, "model": self.model, "seed": seed}
        begun = time.monotonic()
        if self.task.route == "text":
            document = await self.post("v1/completions", {**body, "prompt": prompt.text})
        else:
            messages = conversation(self.task, prompt)
            document = await self.post("v1/chat/completions", {**body, "messages": messages})
        answer = _answer(document, time.monotonic() - begun)
        self.spent.tokens += answer.prompt_tokens + answer.completion_tokens
        return answer

    async def post(self, route: str, body: Mapping[str, Any], url: str | None = None) -> Any:  # noqa: ANN401 (JSON)
        """Ask, and ask again where that may help. Raises TrialError, SearchError."""
        async with self.limit:
            document = await _patiently(lambda: self.http.send(self._request(route, body, url)))
        self.spent.requests += 1
        self.answered()
        return document

    def _request(self, route: str, body: Mapping[str, Any], url: str | None) -> httpx.Request:
        """Make a request. The key is its own server's, so one to another has none."""
        address = route if url is None else f"{base_of(url)}{route}"
        request = self.http.build_request("POST", address, json=body, timeout=_PATIENCE)
        if _place(request.url) != _place(self.http.base_url):
            request.headers.pop("authorization", None)
        return request


def base_of(url: str) -> str:
    """Where the routes begin, whether or not the address is written with `/v1`."""
    return f"{url.rstrip('/').removesuffix('/v1')}/"


def conversation(task: Task, prompt: Prompt) -> list[dict[str, Any]]:
    """The messages of a chat: the system's, if there is one, and the prompt's."""
    said = prompt.messages or [{"role": "user", "content": prompt.prompt}]
    system = [{"role": "system", "content": task.system}] if task.system is not None else []
    return [*system, *said]


async def names_of_models(http: httpx.AsyncClient) -> list[str]:
    """List the models that are served. Raises SearchError."""
    try:
        document = await _patiently(lambda: http.get("v1/models", timeout=_PATIENCE))
        return [model["id"] for model in document["data"]]
    except TrialError as error:
        raise SearchError(f"{http.base_url}: {error}") from error
    except (KeyError, TypeError) as error:
        raise SearchError(f"{http.base_url} is not a server of the OpenAI kind") from error


def _answer(document: Any, seconds: float) -> Answer:  # noqa: ANN401 (JSON)
    try:
        choice, usage = document["choices"][0], document["usage"]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        counts = usage["prompt_tokens"], usage["completion_tokens"]
        return Answer(text or "", choice["finish_reason"], *counts, seconds)
    except (KeyError, IndexError, TypeError) as error:
        raise SearchError("the server's answer has no text, or does not count its tokens") from error


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _patiently(ask: Callable[[], Awaitable[httpx.Response]]) -> Any:  # noqa: ANN401 (JSON)
    for attempt in range(_ATTEMPTS):
        wait = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
        try:
            response = await ask()
        except httpx.HTTPError as error:
            problem = f"the server cannot be reached: {error or type(error).__name__}"
        else:
            if response.is_success:
                return _document(response)
            problem = f"the server answered {response.status_code}: {_message(response)}"
            if response.status_code in _HOPELESS:
                raise SearchError(problem)
            if response.status_code not in _PASSING:
                raise TrialError(problem)
            wait = _advised(response, wait)
        if attempt + 1 < _ATTEMPTS:
            await asyncio.sleep(wait)
    raise TrialError(f"{problem} ({_ATTEMPTS} attempts)")


def _document(response: httpx.Response) -> Any:  # noqa: ANN401 (JSON)
    try:
        return response.json()
    except ValueError as error:
        raise SearchError("the server's answer is no JSON") from error


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _advised(response: httpx.Response, otherwise: float) -> float:
    try:
        return min(float(response.headers["retry-after"]), _LONGEST_WAIT)
    except (KeyError, ValueError):
        return otherwise
