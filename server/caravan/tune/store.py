"""The study on disk: Optuna's SQLite file, which knows every trial from the moment that it has ended."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from caravan.tune.errors import TaskError
from caravan.tune.measure import Measured
from caravan.tune.records import Record, State
from caravan.tune.space import Dimension, choice_text, is_whole, num_points
from caravan.tune.task import Task

DATABASE = "study.db"
_STUDY = "caravan tune"
# What may be changed before a study goes on.
_FREE = {
    "name": None,
    "budget": None,
    "search": {"trials", "parallel", "finalists", "method", "pruning", "seed"},
}
_STARTUP_TRIALS = 10
_LEAST_TRIALS_TO_PRUNE = 5
# What a trial's attributes are called in the file.
_RESULT, _MESSAGE, _UNFINISHED, _RETRIED = "result", "message", "unfinished", "retried"
_STATES = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
}


class Store:
    """One study in one folder. Raises TaskError where it is another task's."""

    def __init__(self, folder: Path, task: Task, model: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        self._task = task
        storage = optuna.storages.RDBStorage(f"sqlite:///{(folder / DATABASE).resolve()}")
        directions = [objective.direction for objective in task.objectives]
        # Without a sampler of its own this one would draw, and a grid's refuses what others have begun.
        study = optuna.create_study(
            storage=storage, study_name=_STUDY, directions=directions, load_if_exists=True
        )
        _hold_against(study, task, model)
        _retry_unfinished(study)
        self.study = optuna.load_study(
            storage=storage,
            study_name=_STUDY,
            sampler=_sampler(task, len(study.trials)),
            pruner=_pruner(task),
        )

    def records(self) -> list[Record]:
        """All trials that have begun, in their order."""
        return [self.record(trial) for trial in self.study.trials if trial.state is not TrialState.WAITING]

    def record(self, trial: FrozenTrial) -> Record:
        """One trial as the report tells it."""
        attrs = trial.user_attrs
        result = attrs.get(_RESULT, {})
        is_unfinished = (
            trial.state is TrialState.RUNNING
            or attrs.get(_UNFINISHED, False)
            or trial.number in (self.kept(_RETRIED) or ())
        )
        return Record(
            trial.number,
            {name: self._value(name, value) for name, value in trial.params.items()},
            State.UNFINISHED if is_unfinished else _STATES[trial.state],
            result.get("scores", ()),
            attrs.get(_MESSAGE, ""),
            result.get("num_requests", 0),
        )

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Choose a value for each parameter of the space."""
        for name, dimension in self._task.space.items():
            _suggest(trial, name, dimension, is_grid=self._task.search.method == "grid")
        return {name: self._value(name, value) for name, value in trial.params.items()}

    def num_trials(self) -> int:
        """How many trials the search is to have; of a grid, all its points."""
        wanted = self._task.search.trials
        if self._task.search.method == "grid":
            points = num_points(self._task.space)
            return min(points, wanted or points)
        return wanted or 50

    def num_ended(self) -> int:
        """How many have ended by themselves."""
        return sum(record.state is not State.UNFINISHED for record in self.records())

    def keep(self, name: str, value: Any) -> None:  # noqa: ANN401 (JSON)
        """Note something of the whole study."""
        self.study.set_user_attr(name, value)

    def kept(self, name: str) -> Any:  # noqa: ANN401 (JSON)
        """What was noted; None if nothing was."""
        return self.study.user_attrs.get(name)

    def _value(self, name: str, value: Any) -> Any:  # noqa: ANN401 (JSON)
        """What a request gets: a choice itself, a number as people write it."""
        dimension = self._task.space[name]
        if dimension.choices is not None:
            return json.loads(value)
        if isinstance(value, float) and dimension.step is None:
            assert dimension.low is not None
            assert dimension.high is not None
            return min(max(float(f"{value:.4g}"), dimension.low), dimension.high)
        return float(f"{value:.10g}") if isinstance(value, float) else value


def keep_result(trial: optuna.Trial, measured: Measured) -> None:
    """Note what was measured, before the trial ends."""
    trial.set_user_attr(_RESULT, measured.as_document())


def keep_message(trial: optuna.Trial, message: str) -> None:
    """Note why a trial failed."""
    trial.set_user_attr(_MESSAGE, message)


def keep_unfinished(trial: optuna.Trial) -> None:
    """Note that a trial was cut short by something that is not its own fault: it will be done again."""
    trial.set_user_attr(_UNFINISHED, True)


def grid(task: Task) -> dict[str, list[Any]]:
    """The values of each parameter in a grid; choices as Optuna keeps them."""
    return {
        name: [choice_text(value) if dimension.choices is not None else value for value in values]
        for name, dimension in task.space.items()
        for values in (dimension.values(is_whole=is_whole(name)),)
    }


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension, *, is_grid: bool) -> None:
    if dimension.choices is not None:
        trial.suggest_categorical(name, [choice_text(choice) for choice in dimension.choices])
        return
    assert dimension.low is not None
    assert dimension.high is not None
    low, high, step = dimension.low, dimension.high, None if is_grid else dimension.step
    if step is not None:
        # Optuna warns where steps do not end at the end.
        high = low + step * (len(dimension.values(is_whole=False)) - 1)
    if is_whole(name):
        trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=dimension.log)
    else:
        trial.suggest_float(name, float(low), float(high), step=step, log=dimension.log)


def _sampler(task: Task, num_trials: int) -> BaseSampler:
    """One that does not say again what it said before the study was taken up again."""
    seed = task.search.seed + num_trials
    match task.search.method:
        case "grid":
            # The order of a grid is shuffled by the seed, and has to stay.
            return GridSampler(grid(task), seed=task.search.seed)
        case "random":
            return RandomSampler(seed=seed)
    startup = min(_STARTUP_TRIALS, max(3, (task.search.trials or 50) // 4))
    return TPESampler(seed=seed, n_startup_trials=startup)


def _pruner(task: Task) -> optuna.pruners.BasePruner:
    if not task.prunes:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=_LEAST_TRIALS_TO_PRUNE, n_warmup_steps=1)


def _hold_against(study: optuna.Study, task: Task, model: str) -> None:
    """Note the task, or refuse to go on with another."""
    document = json.loads(task.model_dump_json(by_alias=True)) | {"model": model}
    for name, parts in _FREE.items():
        if parts is None:
            del document[name]
        else:
            document[name] = {key: value for key, value in document[name].items() if key not in parts}
    before = study.user_attrs.get("task")
    if before is None:
        study.set_user_attr("task", document)
        return
    changed = sorted(name for name in document if document[name] != before.get(name))
    if changed:
        names = ", ".join(f"'{name}'" for name in changed)
        raise TaskError(f"the study was made with another {names}: name another folder for the new one")


def _retry_unfinished(study: optuna.Study) -> None:
    """Queue what was cut short again, with the same parameters and the same place in a grid."""
    retried = set(study.user_attrs.get(_RETRIED, ()))
    for trial in study.trials:
        is_cut = trial.state is TrialState.RUNNING or trial.user_attrs.get(_UNFINISHED)
        if not is_cut or trial.number in retried:
            continue
        if trial.state is TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        # Noted first: a trial that is lost here is one of many, one that is done twice is not.
        retried.add(trial.number)
        study.set_user_attr(_RETRIED, sorted(retried))
        # What was cut before anything was chosen has nothing to be done again: another trial takes its turn.
        if trial.params or trial.system_attrs:
            study.add_trial(_again(trial))


def _again(trial: FrozenTrial) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs={**trial.system_attrs, "fixed_params": trial.params},
    )
