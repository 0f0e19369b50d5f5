"""The search: the defaults first, then a trial after the other, then the best on prompts that are held out.

All that is known is in the study's file before the next thing begins. So whatever ends this process costs
what was running.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import optuna
from optuna.trial import FrozenTrial, TrialState

from caravan.tune import finals, store
from caravan.tune.client import Client, Spent, base_of, names_of_models
from caravan.tune.errors import BudgetSpent, SearchError, TrialError
from caravan.tune.importances import importances
from caravan.tune.measure import Measured, Meter
from caravan.tune.progress import Progress
from caravan.tune.records import Ending, Findings, Record, State, ranked
from caravan.tune.scorers.make import scorers_of
from caravan.tune.scorers.scorer import Scorer
from caravan.tune.store import Store
from caravan.tune.task import Prompt, Task

T = TypeVar("T")

ANSWERS = "answers.jsonl"
# After so many failures in a row nothing better is to be expected.
_MOST_FAILURES = 5
# Held-out prompts get seeds that no trial has had.
_HELD_OUT_SEEDS = 1_000_000_000
_SEEDS_OF_A_SEARCH = 10_000_019


def http_of(url: str, key: str | None, verify: Any = True) -> Callable[[], httpx.AsyncClient]:  # noqa: ANN401 (httpx's)
    """Make a client of `url`, once there is an event loop for it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=None)
    return lambda: httpx.AsyncClient(base_url=base_of(url), headers=headers, verify=verify, limits=limits)


def find(
    task: Task,
    folder: Path,
    source: Path,
    http: Callable[[], httpx.AsyncClient],
    progress: Progress,
    *,
    is_own: bool = False,
) -> Findings:
    """Search to the end, or go on with what `folder` has of a search; `source` is the task's folder.

    A server that `is_own` was started with the task's model. Ctrl-C ends the search in order. Raises
    TaskError, and SearchError where there is nothing to tell yet.
    """
    scorers = scorers_of(task, source)
    with asyncio.Runner() as runner:
        client = http()
        try:
            names = runner.run(names_of_models(client))
            model = _model(task, names, is_own=is_own)
            search = _Search(task, folder, model, scorers, client, runner, progress)
            return search.findings(*search.run())
        finally:
            runner.run(client.aclose())


def _model(task: Task, names: Sequence[str], *, is_own: bool) -> str:
    if task.model in names:
        return str(task.model)
    # What `caravan serve --model` takes is a path, for example, and the server calls the model otherwise.
    if names and (task.model is None or (is_own and len(names) == 1)):
        return names[0]
    wanted = "" if task.model is None else f" '{task.model}'"
    raise SearchError(f"the server has no model{wanted}; it has {', '.join(names) or 'none'}")


def split(task: Task) -> tuple[list[Prompt], list[Prompt]]:
    """Return the prompts to search with, and those that are held out, drawn by the seed."""
    order = list(range(len(task.prompts)))
    random.Random(task.search.seed).shuffle(order)
    count = min(round(task.held_out * len(order)), len(order) - 1)
    if task.held_out > 0 and len(order) > 1:
        count = max(count, 1)
    held_out = set(order[:count])
    return (
        [prompt for index, prompt in enumerate(task.prompts) if index not in held_out],
        [prompt for index, prompt in enumerate(task.prompts) if index in held_out],
    )


class _Search:
    def __init__(
        self,
        task: Task,
        folder: Path,
        model: str,
        scorers: Sequence[Scorer],
        http: httpx.AsyncClient,
        runner: asyncio.Runner,
        progress: Progress,
    ) -> None:
        self._task, self._folder, self._model = task, folder, model
        self._runner, self._progress = runner, progress
        self._store = Store(folder, task, model)
        spent = self._store.kept("spent") or {}
        self._spent = Spent(spent.get("requests", 0), spent.get("tokens", 0))
        self._seconds_before = float(spent.get("seconds", 0.0))
        self._begun = time.monotonic()
        self._has_deadline = False
        self._num_failures = 0
        limit = asyncio.Semaphore(task.search.parallel)
        client = Client(http, task, model, self._answered, limit, self._spent)
        prompts, held_out = split(task)
        seed = task.search.seed * _SEEDS_OF_A_SEARCH
        self._meter = Meter(client, task, scorers, prompts, seed)
        self._held_out = Meter(client, task, scorers, held_out, seed + _HELD_OUT_SEEDS)
        self._per_trial = 0

    def run(self) -> tuple[Ending, str]:
        """All that there is to do; how it has ended, and why."""
        try:
            self._measure_defaults()
            ending = self._look()
            self._hold_out()
        except KeyboardInterrupt:
            return Ending.INTERRUPTED, "Ctrl-C"
        except (SearchError, TrialError) as error:
            return Ending.FAILED, str(error)
        finally:
            self._keep_spent()
        return ending, ""

    def findings(self, ending: Ending, message: str) -> Findings:
        """All that is known. Raises SearchError where that is nothing."""
        known = self._store.records()
        defaults = self._defaults()
        if ending is Ending.FAILED and defaults is None:
            raise SearchError(message)
        complete = [record for record in known if record.state is State.COMPLETE]
        front = self._front(complete)
        held_out = finals.known(self._store)
        return Findings(
            self._task,
            self._model,
            known,
            defaults,
            front,
            held_out,
            finals.winner(self._task, front, complete, held_out),
            importances(self._store.study, self._task),
            ending,
            message,
            self._spent.requests,
            self._spent.tokens,
            self._seconds(),
        )

    def _front(self, complete: Sequence[Record]) -> list[Record]:
        if not complete:
            return []
        best = {trial.number for trial in self._store.study.best_trials}
        found = ranked(self._task, [record for record in complete if record.number in best])
        # Of trials that score alike to the last bit, the first is enough.
        return list({tuple(record.values): record for record in reversed(found)}.values())[::-1]

    def _measure_defaults(self) -> None:
        """What the server does by itself is what the search has to beat, and tells what a trial takes."""
        if self._store.kept("defaults") is None:
            self._progress.phase("the defaults", self._num_answers(self._meter))
            measured = self._wait(self._meter.measure({}))
            self._store.keep("defaults", measured.as_document())
            self._write_answers("defaults", self._meter.prompts, measured)
        self._per_trial = int(self._store.kept("defaults")["num_requests"])

    def _defaults(self) -> Record | None:
        document = self._store.kept("defaults")
        if document is None:
            return None
        return Record(-1, {}, State.COMPLETE, document["scores"], "", document["num_requests"])

    def _look(self) -> Ending:
        remaining = self._store.num_trials() - self._store.num_ended()
        if remaining <= 0:
            return Ending.DONE
        self._progress.phase("trials", remaining * self._per_trial)
        self._has_deadline = True
        try:
            self._store.study.optimize(
                self._trial, n_trials=remaining, catch=(TrialError,), callbacks=[self._after_trial]
            )
        except BudgetSpent:
            return Ending.BUDGET
        finally:
            self._has_deadline = False
        return Ending.DONE

    def _trial(self, trial: optuna.Trial) -> float | tuple[float, ...]:
        try:
            parameters = self._store.suggest(trial)
            self._check_budget()
            look = self._pruning(trial) if self._task.prunes else None
            measured = self._wait(self._meter.measure(parameters, look))
        except TrialError as error:
            store.keep_message(trial, str(error))
            raise
        except (KeyboardInterrupt, SearchError, BudgetSpent):
            store.keep_unfinished(trial)
            raise
        store.keep_result(trial, measured)
        self._write_answers(trial.number, self._meter.prompts, measured)
        record = Record(trial.number, parameters, State.COMPLETE, measured.scores)
        return tuple(record.values) if len(record.values) > 1 else record.values[0]

    def _pruning(self, trial: optuna.Trial) -> Callable[[int, float], None]:
        def look(number: int, mean: float) -> None:
            trial.report(mean, number)
            if trial.should_prune():
                raise optuna.TrialPruned(f"{mean:.4g} after {number + 1} of its looks")

        return look

    def _after_trial(self, _: optuna.Study, trial: FrozenTrial) -> None:
        self._keep_spent()
        record = self._store.record(trial)
        complete = [one for one in self._store.records() if one.state is State.COMPLETE]
        self._progress.trial(record, ranked(self._task, complete)[0] if complete else None)
        self._num_failures = self._num_failures + 1 if trial.state is TrialState.FAIL else 0
        if self._num_failures == _MOST_FAILURES:
            raise SearchError(
                f"{_MOST_FAILURES} trials in a row have failed, the last one so: {record.message}"
            )

    def _hold_out(self) -> None:
        """Measure the finalists and the defaults by prompts that are new to them."""
        if not self._held_out.prompts:
            return
        complete = [record for record in self._store.records() if record.state is State.COMPLETE]
        chosen = finals.finalists(self._task, self._front(complete), complete)
        wanted = [(None, {}), *((record.number, record.parameters) for record in chosen)] if chosen else []
        missing = [pair for pair in wanted if self._store.kept(finals.key_of(pair[0])) is None]
        if missing:
            self._progress.phase("held-out prompts", len(missing) * self._num_answers(self._held_out))
        for number, parameters in missing:
            measured = self._wait(self._held_out.measure(parameters))
            self._store.keep(finals.key_of(number), measured.as_document())
            name = "defaults" if number is None else number
            self._write_answers(name, self._held_out.prompts, measured, is_held_out=True)

    def _num_answers(self, meter: Meter) -> int:
        """Roughly what measuring takes: as much for each prompt as it took before."""
        if self._per_trial:
            return max(1, round(self._per_trial * len(meter.prompts) / len(self._meter.prompts)))
        return len(meter.prompts) * self._task.search.repeats

    def _check_budget(self) -> None:
        """Raise BudgetSpent where the next trial does not fit in, with what the held-out prompts take."""
        budget = self._task.budget
        if budget.minutes is not None and self._seconds() >= budget.minutes * 60:
            raise BudgetSpent
        num_finals = 1 + min(finals.most_finalists(self._task), self._store.num_ended() + 1)
        reserved = num_finals * self._num_answers(self._held_out) if self._held_out.prompts else 0
        if (
            budget.requests is not None
            and self._spent.requests + self._per_trial + reserved > budget.requests
        ):
            raise BudgetSpent

    def _answered(self) -> None:
        self._progress.answered()
        minutes = self._task.budget.minutes
        if self._has_deadline and minutes is not None and self._seconds() >= minutes * 60:
            raise BudgetSpent

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._begun

    def _keep_spent(self) -> None:
        spent = {"requests": self._spent.requests, "tokens": self._spent.tokens, "seconds": self._seconds()}
        self._store.keep("spent", spent)

    def _write_answers(
        self, trial: int | str, prompts: Sequence[Prompt], measured: Measured, *, is_held_out: bool = False
    ) -> None:
        titles = [objective.title for objective in self._task.objectives]
        with (self._folder / ANSWERS).open("a", encoding="utf-8") as file:
            for line in measured.lines(titles, prompts):
                row = {"trial": trial, "held_out": is_held_out, **line}
                file.write(f"{json.dumps(row, ensure_ascii=False)}\n")

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)
