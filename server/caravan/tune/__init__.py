"""Looks for the decoding parameters that suit a task best, by asking a server over HTTP and nothing else.

`task.py` is the task as it is written down; `measure.py` scores one set of parameters; `search.py` has
Optuna choose the next; `finals.py` picks the best by prompts that the search has not seen; `report/` tells.
"""
