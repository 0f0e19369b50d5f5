"""The server as a conversation needs it: which models it has, and answers as they come."""

import json
import ssl
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from caravan.cli.errors import CommandError

# Until an answer begins, which a full server or a long prompt may delay.
_PATIENCE = httpx.Timeout(10, read=600)


@dataclass(frozen=True)
class Piece:
    """A bit of an answer: its text or its reasoning. The last one has the count of tokens instead."""

    text: str = ""
    reasoning: str = ""
    num_tokens: int | None = None


class ChatClient:
    """Talks to a server as `connected` does."""

    def __init__(self, url: str, key: str | None, certificate: Path | None = None) -> None:
        self._http = connected(url, key, certificate)

    def __enter__(self) -> "ChatClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """Names of the models served. Raises CommandError."""
        try:
            response = self._http.get("models", timeout=_PATIENCE)
            response.read()
            check(response)
            return [model["id"] for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CommandError(f"{self._http.base_url} is not a server of the OpenAI kind") from error
        except httpx.HTTPError as error:
            raise CommandError(f"{self._http.base_url} cannot be reached: {error}") from error

    def answer(self, body: dict[str, Any]) -> Generator[Piece, None, None]:
        """Stream an answer. Leaving the iteration early ends it at the server. Raises CommandError."""
        body = body | {"stream": True, "stream_options": {"include_usage": True}}
        try:
            with self._http.stream("POST", "chat/completions", json=body, timeout=_PATIENCE) as response:
                if response.is_error:
                    response.read()
                check(response)
                yield from _pieces(response.iter_lines())
        except httpx.HTTPError as error:
            raise CommandError(f"the connection failed: {error or type(error).__name__}") from error


def connected(url: str, key: str | None, certificate: Path | None = None) -> httpx.Client:
    """Make a client of a server by its address, with `/v1` or without; where a `certificate` is given, no
    other is trusted.
    """
    return httpx.Client(
        base_url=f"{url.rstrip('/').removesuffix('/v1')}/v1",
        headers={b"Authorization": f"Bearer {key}".encode()} if key else {},
        verify=True if certificate is None else trusting(certificate),
    )


def trusting(certificate: Path) -> ssl.SSLContext:
    """Trust in one server's certificate, whatever name it is for."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def check(response: httpx.Response) -> None:
    """Raise CommandError over an answer that has been read and is an error, with the server's words."""
    if response.is_error:
        try:
            message = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = response.text[:200]
        raise CommandError(f"the server answered {response.status_code}: {message}")


def _pieces(lines: Iterator[str]) -> Iterator[Piece]:
    for line in lines:
        data = line.removeprefix("data: ")
        if data == line or data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise CommandError(event["error"]["message"])
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            yield Piece(delta.get("content") or "", delta.get("reasoning_content") or "")
        if usage := event.get("usage"):
            yield Piece(num_tokens=usage["completion_tokens"])
