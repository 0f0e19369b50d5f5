"""Has the lines of a file answered, by a server that runs or by one that is started for it."""

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from caravan.cli.batch.client import BatchClient
from caravan.cli.chat.client import connected
from caravan.cli.chat.local_server import own_server
from caravan.cli.errors import WRONG_USAGE, CommandError
from caravan.cli.options import configuration

_KEY = "key"
_MOST_TOLD = 10


def run(
    path: Path, output: Path, endpoint: str | None, model: str | None, url: str | None, key: str | None
) -> None:
    """Have a file answered, and write what comes. Raises CommandError, also over lines that were refused."""
    endpoint = endpoint or _endpoint_of(path)
    _check_files(path, output)
    if url is not None:
        with connected(url, key) as http:
            _cancellable(BatchClient(http), path, endpoint, output)
        return
    work = path.with_name(f"{path.name}.batch")
    with _served(work, model) as http:
        client = BatchClient(http)
        batch_id = client.unfinished() or client.create(client.upload(path), endpoint)
        try:
            batch = _watched(client, batch_id)
        except KeyboardInterrupt:
            print(f"the same command goes on where this ended: {work} has what is answered", file=sys.stderr)
            raise
        complaint = _write(client, batch, output)
    shutil.rmtree(work, ignore_errors=True)
    if complaint:
        raise CommandError(complaint)


def _cancellable(client: BatchClient, path: Path, endpoint: str, output: Path) -> None:
    batch_id = client.create(client.upload(path), endpoint)
    try:
        batch = _watched(client, batch_id)
    except KeyboardInterrupt:
        client.cancel(batch_id)
        batch = _watched(client, batch_id)
    if complaint := _write(client, batch, output):
        raise CommandError(complaint)


def _endpoint_of(path: Path) -> str:
    """Return the route that the first line is for."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "{}")
        return str(json.loads(first)["url"])
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", WRONG_USAGE) from error
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: the first line is no object with a 'url'; docs/batches.md has the form"
        raise CommandError(message, WRONG_USAGE) from error


def _check_files(path: Path, output: Path) -> None:
    """Refuse what could not be read or written, before anything is computed for it."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", WRONG_USAGE) from error
    for written in (output, _errors_beside(output)):
        if written.resolve() == path.resolve():
            raise CommandError(f"{written}: the answers would be written over the input", WRONG_USAGE)
    place = output if output.exists() else output.parent
    if output.is_dir() or not os.access(place, os.W_OK):
        raise CommandError(f"{output}: this file cannot be written", WRONG_USAGE)


def _errors_beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}-errors{output.suffix}")


def _watched(client: BatchClient, batch_id: str) -> dict[str, Any]:
    """Show a bar on a terminal until a batch has ended."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lines"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(batch_id, total=None)

        def tell(batch: dict[str, Any]) -> None:
            counts = batch["request_counts"]
            done = counts["completed"] + counts["failed"]
            bar.update(task, description=batch["status"], total=counts["total"] or None, completed=done)

        return client.watch(batch_id, tell)


def _write(client: BatchClient, batch: dict[str, Any], output: Path) -> str:
    """Fetch the answers and say where they are; returns what there is to complain of."""
    faults = (batch["errors"] or {"data": []})["data"]
    if batch["status"] == "failed":
        told = [
            f"line {fault['line']}: {fault['message']}" if fault["line"] else fault["message"]
            for fault in faults
        ]
        rest = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
        return "\n".join([*told[:_MOST_TOLD], *rest])
    errors = _errors_beside(output)
    for file_id, path in ((batch["output_file_id"], output), (batch["error_file_id"], errors)):
        if file_id is not None:
            try:
                client.fetch(file_id, path)
            except OSError as error:
                raise CommandError(f"{path}: {error.strerror}") from error
    counts = batch["request_counts"]
    print(f"{batch['status']}: {counts['completed']} of {counts['total']} lines answered, in {output}")
    return (
        f"{counts['failed']} lines have an error in the place of an answer: {errors}"
        if counts["failed"]
        else ""
    )


@contextlib.contextmanager
def _served(work: Path, model: str | None) -> Iterator[httpx.Client]:
    """A server for this alone, which keeps in a folder what it has answered."""
    key = _key_in(work)
    options = ["--batches-dir", str(work), *(["--model", model] if model else [])]
    certificate = configuration({}).settings.tls_certificate
    with own_server(options, key) as address, connected(address, key, certificate) as http:
        yield http


def _key_in(work: Path) -> str:
    """Return the key that a folder's batch was made with; whoever goes on with it needs the same."""
    try:
        work.mkdir(mode=0o700, exist_ok=True)
        path = work / _KEY
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_urlsafe())
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{work}: {error.strerror}") from error
