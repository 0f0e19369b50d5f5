"""Reads a task's file, and says of each fault in which line it is."""

import difflib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.sampling import DecodingFields
from pydantic import ValidationError

from caravan.tune.errors import TaskError
from caravan.tune.objectives import Regex, needs_references, scores_each_answer
from caravan.tune.space import MOST_POINTS, fault_of, first_name, num_points
from caravan.tune.task import Prompt, Task
from caravan.tune.toml_lines import line_of

# Fields of a request that the search sets, or that change what an answer is.
_OURS = {
    "model": "is set by 'model'",
    "messages": "are the prompts",
    "prompt": "is one of the prompts",
    "seed": "is set for each repeat",
    "n": "is what 'repeats' are for",
    "n_cmpl": "is what 'repeats' are for",
    "best_of": "is not for a search",
    "stream": "has no use here",
    "stream_options": "has no use here",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where: the steps to it from the top of the file."""

    path: tuple[str | int, ...]
    message: str


def read_task(path: Path) -> Task:
    """Read the file and the prompts that it names. Raises TaskError."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TaskError(f"{path} cannot be read: {reason}") from error
    try:
        task = Task.model_validate(_prompts_as_tables(document))
    except ValidationError as error:
        raise _told(path, text, [_fault(item) for item in error.errors(include_url=False)]) from error
    if faults := list(_faults(task)):
        raise _told(path, text, faults)
    task = task.model_copy(update={"prompts": [*task.prompts, *_from_file(path, text, task)]})
    if faults := list(_prompt_faults(task)):
        raise _told(path, text, faults)
    return task


def _told(path: Path, text: str, faults: Sequence[Fault]) -> TaskError:
    lines = []
    for fault in faults:
        line = line_of(text, fault.path)
        name = ".".join(str(step) for step in fault.path)
        where = f"{path}:{line}" if line else str(path)
        lines.append(f"{where}: {name}: {fault.message}" if name else f"{where}: {fault.message}")
    return TaskError("\n".join(lines))


def _prompts_as_tables(document: dict[str, Any]) -> dict[str, Any]:
    """A prompt that is a text alone is one without references."""
    prompts = document.get("prompts")
    if not isinstance(prompts, list):
        return document
    tables = [{"prompt": entry} if isinstance(entry, str) else entry for entry in prompts]
    return {**document, "prompts": tables}


def _fault(item: Any) -> Fault:  # noqa: ANN401 (pydantic's own type is no public one)
    # A tagged union puts its tag into the path, which the file has not.
    steps = tuple(item["loc"])
    if len(steps) > 2 and steps[0] == "objectives":
        steps = (*steps[:2], *steps[3:])
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = f"there is no such key{_hint(str(steps[-1]), _keys_beside(steps))}"
    return Fault(steps, message[:1].lower() + message[1:])


def _keys_beside(steps: Sequence[str | int]) -> list[str]:
    if len(steps) == 1:
        return list(Task.model_fields)
    kind = Task.model_fields[str(steps[0])].annotation if steps[0] in Task.model_fields else None
    return list(getattr(kind, "model_fields", ()))


def _hint(wrong: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong.replace("-", "_"), known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _faults(task: Task) -> Iterator[Fault]:
    yield from _space_faults(task)
    yield from _request_faults(task)
    titles = Counter(objective.title for objective in task.objectives)
    for index, objective in enumerate(task.objectives):
        if titles[objective.title] > 1:
            yield Fault(
                ("objectives", index), f"two objectives are called '{objective.title}'; give a 'name'"
            )
    if task.search.pruning:
        if len(task.objectives) > 1:
            yield Fault(("search", "pruning"), "trials can only be ended early where there is one objective")
        elif not scores_each_answer(task.objectives[0]):
            yield Fault(("search", "pruning"), "needs an objective that scores each answer by itself")
    if task.system is not None and task.route == "text":
        yield Fault(("system",), "is for the route 'chat' alone")


def _space_faults(task: Task) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, dimension in task.space.items():
        place = ("space", name)
        if name not in DecodingFields.model_fields:
            hint = _hint(name, list(DecodingFields.model_fields))
            yield Fault(place, f"there is no decoding parameter of this name{hint}")
            continue
        if name in task.request:
            yield Fault(place, "is in 'request', too, where it is fixed")
        if (first := first_name(name)) in seen:
            yield Fault(place, f"is another name of '{seen[first]}'")
        seen[first] = name
        if (message := fault_of(name, dimension)) is not None:
            yield Fault(place, message)
    are_known = task.space.keys() <= DecodingFields.model_fields.keys()
    if task.search.method == "grid" and are_known and (count := num_points(task.space)) > MOST_POINTS:
        told = f"a grid has at most {MOST_POINTS} combinations, and these are {count}"
        yield Fault(("search", "method"), told)


def _request_faults(task: Task) -> Iterator[Fault]:
    for name in task.request.keys() & _OURS.keys():
        yield Fault(("request", name), f"{_OURS[name]}, and cannot be here")
    given = {name: value for name, value in task.request.items() if name not in _OURS}
    schema = CompletionRequest if task.route == "text" else ChatCompletionRequest
    subject = {"prompt": "?"} if task.route == "text" else {"messages": [{"role": "user", "content": "?"}]}
    try:
        schema.model_validate_json(json.dumps({"model": "?", **subject, **given}, default=str))
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["type"] == "extra_forbidden":
                hint = _hint(str(item["loc"][-1]), list(schema.model_fields))
                yield Fault(("request", *item["loc"]), f"there is no such field of a request{hint}")
            else:
                yield Fault(("request", *item["loc"]), item["msg"])


def _from_file(path: Path, text: str, task: Task) -> list[Prompt]:
    if task.prompts_file is None:
        return []
    place = path.parent / task.prompts_file
    try:
        # `splitlines` would also end a line at characters that a prompt may have, such as U+2028.
        lines = place.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise _told(path, text, [Fault(("prompts_file",), f"{place} cannot be read: {error}")]) from error
    is_json = place.suffix in (".jsonl", ".ndjson", ".json")
    return [_prompt(place, number, line, is_json) for number, line in enumerate(lines, 1) if line.strip()]


def _prompt(place: Path, number: int, line: str, is_json: bool) -> Prompt:
    if not is_json:
        return Prompt(prompt=line)
    try:
        value = json.loads(line)
        return Prompt.model_validate({"prompt": value} if isinstance(value, str) else value)
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        name = ".".join(str(step) for step in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        raise TaskError(
            f"{place}:{number}: {name}: {message}" if name else f"{place}:{number}: {message}"
        ) from error
    except ValueError as error:
        raise TaskError(f"{place}:{number}: this is no JSON: {error}") from error


def _prompt_faults(task: Task) -> Iterator[Fault]:
    if not task.prompts:
        yield Fault((), "there are no prompts: give 'prompts' or 'prompts_file'")
    wants = [objective.title for objective in task.objectives if needs_references(objective)]
    for index, prompt in enumerate(task.prompts):
        place = ("prompts", index)
        if wants and not prompt.references:
            yield Fault(
                place, f"'{wants[0]}' needs 'references', and this prompt has none: {prompt.text[:40]!r}"
            )
        if any(isinstance(one, Regex) and one.pattern is None for one in task.objectives):
            yield from _pattern_faults(prompt, place)
        if prompt.messages is not None:
            yield from _message_faults(task, prompt, place)


def _pattern_faults(prompt: Prompt, place: tuple[str | int, ...]) -> Iterator[Fault]:
    for reference in prompt.references:
        try:
            re.compile(reference)
        except re.error as error:
            yield Fault((*place, "references"), f"{reference[:40]!r} is no pattern: {error}")


def _message_faults(task: Task, prompt: Prompt, place: tuple[str | int, ...]) -> Iterator[Fault]:
    if task.route == "text":
        yield Fault(place, "has 'messages', which are for the route 'chat'")
        return
    try:
        ChatCompletionRequest.model_validate_json(json.dumps({"model": "?", "messages": prompt.messages}))
    except ValidationError as error:
        item = error.errors(include_url=False)[0]
        yield Fault((*place, *(step for step in item["loc"] if not str(step).startswith("<"))), item["msg"])
