"""`caravan tune`: looks for the decoding parameters that suit a task best."""

import contextlib
import importlib.util
import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from caravan.cli.errors import FAILED, WRONG_USAGE, CommandError
from caravan.cli.server_options import ApiKey, Url

_INTERRUPTED = 130


def command(
    task: Annotated[Path, typer.Argument(help="TOML file: prompts, objectives, what may be tried.")],
    url: Url = None,
    api_key: ApiKey = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the study and its report. Default: the file's name with `-tuned`."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in that folder.")] = False,
) -> None:
    r"""Look for the decoding parameters that suit a task best.

    Tries parameters on the task's prompts, scores the answers, and writes a report with charts, and a file of
    presets that `caravan serve` takes. docs/tune.md has the form of a task, and examples.

    Ctrl-C ends the search and writes what is known so far; with --resume it goes on.

    Needs the extra `tune`: pip install 'llama-caravan\[tune]'.
    """
    missing = [name for name in ("optuna", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        packages = " and ".join(missing)
        raise CommandError(
            f"caravan tune needs {packages}: pip install 'llama-caravan[tune]', or '.[tune]' in a checkout"
        )
    _run(task, url, api_key, output or Path(f"{task.stem}-tuned"), is_resumed=resume)


def _run(path: Path, url: str | None, key: str | None, folder: Path, *, is_resumed: bool) -> None:
    from caravan.cli.tune.screen import Screen
    from caravan.tune.errors import SearchError, TaskError
    from caravan.tune.reading import read_task
    from caravan.tune.records import Ending
    from caravan.tune.report.write import write
    from caravan.tune.search import find

    try:
        task = read_task(path)
        _check_folder(folder, is_resumed=is_resumed)
        titles = [objective.title for objective in task.objectives]
        with _served(task.model, url, key) as http, Screen(titles) as screen:
            findings = find(task, folder, path.parent, http, screen, is_own=url is None)
    except TaskError as error:
        raise CommandError(str(error), WRONG_USAGE) from error
    except SearchError as error:
        raise CommandError(str(error)) from error
    write(findings, folder)
    _tell(findings, folder)
    if findings.ending is Ending.INTERRUPTED:
        raise SystemExit(_INTERRUPTED)
    if findings.ending is Ending.FAILED:
        raise CommandError(f"{findings.message}; --resume goes on", FAILED)


def _check_folder(folder: Path, *, is_resumed: bool) -> None:
    from caravan.tune.store import DATABASE

    is_there = (folder / DATABASE).exists()
    if is_there and not is_resumed:
        message = f"{folder} has a study already: --resume goes on with it, --output names another folder"
        raise CommandError(message, WRONG_USAGE)
    if is_resumed and not is_there:
        raise CommandError(f"there is no study in {folder} to resume", WRONG_USAGE)


@contextlib.contextmanager
def _served(model: str | None, url: str | None, key: str | None) -> Any:  # noqa: ANN401 (a generator of clients)
    """Clients for the server that was named, or for one that is started here and ends with this command."""
    from caravan.cli.chat.client import trusting
    from caravan.cli.chat.local_server import own_server
    from caravan.cli.options import configuration
    from caravan.tune.search import http_of

    if url is not None:
        yield http_of(url, key)
        return
    own_key = secrets.token_urlsafe()
    certificate = configuration({}).settings.tls_certificate
    with own_server(["--model", model] if model else [], own_key) as address:
        yield http_of(address, own_key, True if certificate is None else trusting(certificate))


def _tell(findings: Any, folder: Path) -> None:  # noqa: ANN401 (what needs the extra is imported late)
    from caravan.tune.report.presets import one_line

    print(f"{findings.ending.value}; the report is {folder / 'report.md'}")
    if findings.winner is not None:
        print(f"the winner is trial {findings.winner.number}: {one_line(dict(findings.winner.parameters))}")
