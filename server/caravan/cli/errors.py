"""How commands fail: lines on standard error and an exit code."""

import sys

from caravan.runtime.plain_text import plain_line

FAILED = 1
WRONG_USAGE = 2


class CommandError(Exception):
    """A command cannot do what it was asked; the message is for whoever typed it, a line for each fault."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def complain(message: str, exit_code: int) -> int:
    """Print each line of the message under our name."""
    for line in message.splitlines():
        print(f"caravan: {plain_line(line)}", file=sys.stderr)
    return exit_code
