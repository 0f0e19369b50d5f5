"""Errors about a request that was made of another one, told in the words of the one that was sent."""

import contextlib
import re
from collections.abc import Callable, Generator

from caravan.errors import InvalidRequestError

# An apostrophe inside of a word opens nothing.
_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")


def reword(error: InvalidRequestError, named: Callable[[str], str]) -> None:
    """Rename the fields that an error names. `named` leaves alone what it has renamed before."""
    error.message = _QUOTED.sub(lambda quoted: f"'{named(quoted[1])}'", error.message)
    error.args = (error.message,)
    if error.param is not None:
        error.param = named(error.param)


@contextlib.contextmanager
def rewording(named: Callable[[str], str]) -> Generator[None, None, None]:
    """Reword errors from this block."""
    try:
        yield
    except InvalidRequestError as error:
        reword(error, named)
        raise
