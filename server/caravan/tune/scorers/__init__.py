"""From an answer to a number, a file for each way; `make.py` makes them of a task's objectives."""
