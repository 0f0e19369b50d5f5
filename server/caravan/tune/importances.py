"""How much each parameter decides about an objective, by PED-ANOVA."""

import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from caravan.tune.records import sign_of
from caravan.tune.task import Task

# The best share of trials is held against all; with fewer trials it is too few to say anything.
_BEST_SHARE = 0.25
_LEAST_TRIALS = 12


def importances(study: optuna.Study, task: Task) -> list[dict[str, float]]:
    """Return the shares of the parameters, for each objective; empty where too few trials tell."""
    return [_of_one(study, index, sign_of(task, index)) for index in range(len(task.objectives))]


def _of_one(study: optuna.Study, index: int, sign: int) -> dict[str, float]:
    complete = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    if len(complete) < _LEAST_TRIALS or len({trial.values[index] for trial in complete}) < 2:
        return {}

    def loss(trial: FrozenTrial) -> float:
        return -sign * float(trial.values[index])

    evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)
    with warnings.catch_warnings():
        # It reminds of what `loss` sees to.
        warnings.simplefilter("ignore")
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, target=loss))
