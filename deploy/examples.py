"""Writes the answers of the OpenAPI document's examples: what a server of the model that ships answers.

`python -m deploy.examples` starts one, sends each request and writes `answers.json`; a test does the same and
compares which fields there are.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from caravan.auth import keys_file
from caravan.web.examples.document import ANSWERS
from caravan.web.examples.requests import MODEL, REQUESTS, STREAMED, STREAMED_AGAIN, ExampleRequest
from pydantic import JsonValue

_PATIENCE = 120.0
_RESPONSE_ID = re.compile(r"resp_\w+")
_BASE_URL = re.compile(r"base URL: +(http\S+)/v1")
_LONGEST_TEXT = 400
_MOST_ENTRIES = 8
_NUMBERS = 4
_MOST_FIELDS = 50


def answers_of(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Send all examples; by method and path, the parameters that were used and the answers by media type.

    Raises AssertionError where one is refused.
    """
    filled: dict[str, str] = {"model_id": MODEL}
    answers: dict[str, dict[str, Any]] = {}
    for example in REQUESTS:
        path = example.path.format_map(filled)
        answer = _sent(client, path, example, filled)
        assert answer.is_success, f"{example.method} {path}: {answer.status_code} {answer.text}"
        kind = answer.headers["content-type"].partition(";")[0]
        told = answer.json() if kind == "application/json" else answer.text
        filled |= {name: str(_at(told, place)) for name, place in example.keeps.items()}
        if example.is_shown:
            needed = example.fills.values()
            used = {k: v for k, v in filled.items() if f"{{{k}}}" in example.path or k in needed}
            contents = {kind: shortened(told), **_streamed(client, path, example)}
            answers[f"{example.method} {example.path}"] = {"parameters": used, "content": contents}
    return answers


def _sent(
    client: httpx.Client, path: str, example: ExampleRequest, filled: Mapping[str, str]
) -> httpx.Response:
    """Send a request, again and again where it is to wait for a status."""
    if example.form:
        fields = dict(example.form)
        files = {"file": ("questions.jsonl", fields.pop("file").encode())}
        return client.post(path, data=fields, files=files)
    body = example.body
    if example.fills:
        body = {**(body or {}), **{name: filled[value] for name, value in example.fills.items()}}
    while True:
        answer = client.request(example.method, path, params=dict(example.query), json=body)
        if example.waits_for is None or answer.json()["status"] == example.waits_for:
            return answer
        time.sleep(0.05)


def _streamed(client: httpx.Client, path: str, example: ExampleRequest) -> dict[str, Any]:
    """An event or a line from the middle of the answer, where the route streams."""
    if example.method == "get" and example.path == STREAMED_AGAIN:
        body = {"model": MODEL, "input": "Hello!", "stream": True, "background": True}
        begun = client.post(path.rpartition("/")[0], json=body).text
        answer = client.get(f"{path.rpartition('/')[0]}/{_RESPONSE_ID.findall(begun)[0]}?stream=true")
    elif example.method == "post" and example.path in STREAMED:
        answer = client.post(path, json={**(example.body or {}), "stream": True})
    else:
        return {}
    assert answer.is_success, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    if kind == "text/event-stream":
        events = answer.text.strip().split("\n\n")
        return {kind: dict(line.split(": ", 1) for line in events[len(events) // 2].splitlines())}
    lines = answer.text.splitlines()
    return {kind: lines[len(lines) // 2]}


def _at(told: JsonValue, place: tuple[str | int, ...]) -> JsonValue:
    for step in place:
        assert isinstance(told, dict | list)
        told = told[step]  # type: ignore[index]  # the steps are those of the answer
    return told


def shortened(value: JsonValue) -> JsonValue:
    """Shorten long texts and lists, so that an answer can be read at a glance."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}..."
    if isinstance(value, list):
        most = _NUMBERS if value and isinstance(value[0], float) else _MOST_ENTRIES
        return [shortened(entry) for entry in value[:most]]
    if isinstance(value, dict):
        return {name: shortened(entry) for name, entry in list(value.items())[:_MOST_FIELDS]}
    return value


def options_in(folder: Path) -> tuple[str, ...]:
    """The options of a server that keeps what it keeps in `folder`, what its keys have used among it."""
    kept = ("--data-dir", str(folder), "--usage-db", str(folder / "usage.db"), "--responses-db", "memory")
    return ("--threads", "1", *kept)


def administrator_in(folder: Path) -> dict[str, str]:
    """Make a key for such a server; the header that shows it."""
    return {"authorization": f"Bearer {keys_file.add(folder / 'keys.json', name='root', role='admin')}"}


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A server of the model that ships."""
    command = [sys.executable, "-m", "caravan", "serve", "--port", "0", "--log-level", "error"]
    process = subprocess.Popen([*command, *options_in(folder)], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stdout is not None
        yield next(found[1] for line in process.stdout if (found := _BASE_URL.search(line)))
    finally:
        process.terminate()
        process.communicate()


def _client(address: str, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=_PATIENCE, headers=headers)


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        headers = administrator_in(folder)
        with _served(folder) as address, _client(address, headers) as client:
            answers = answers_of(client)
    ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
