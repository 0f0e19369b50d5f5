"""How a search ends early, and how one trial of it does."""


class TaskError(Exception):
    """The task cannot be done as it is written; a line for each fault, with the file and the line in it."""


class SearchError(Exception):
    """The search cannot go on: the server is gone, refuses the key, or is none. What was found is kept."""


class TrialError(Exception):
    """One set of parameters could not be measured; the message says why, and the search goes on."""


class BudgetSpent(Exception):  # noqa: N818 (nothing has gone wrong)
    """The task's budget is used up in the midst of a trial."""
