"""Panics of libraries in Rust, which Python gets as exceptions that do not derive from `Exception`.

What catches `Exception` to go on would let them through, and everything would end with one request.
"""

import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PanicError(Exception):
    """Code in Rust failed where it never should. What it worked on is not to be used again."""


def is_panic(error: BaseException) -> bool:
    """Say whether this is a panic. Each library has a class of its own for them, which cannot be imported."""
    return type(error).__name__ == "PanicException"


def contained(error: BaseException) -> BaseException:
    """Return the error itself, or PanicError in place of a panic."""
    return PanicError(f"a library panicked: {error}") if is_panic(error) else error


def contains_panics(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates what calls into Rust: it raises PanicError for a panic."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            if is_panic(error):
                raise contained(error) from error
            raise

    return guarded


def settle(outcome: "Future[T]", call: Callable[[], T]) -> None:
    """Make a call, unless `outcome` has been cancelled, and give that the result, or what the call raised."""
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        outcome.set_result(call())
    except StopIteration as error:
        # asyncio's futures do not take it, and whoever waits for them would wait for ever.
        outcome.set_exception(RuntimeError(f"a call in a thread raised {error!r}"))
    except BaseException as error:
        outcome.set_exception(contained(error))
    finally:
        # What was raised refers to this frame, and the outcome to what was raised: a cycle, in which all that
        # the call worked with would wait for the garbage collector, which stops every thread to free it.
        del outcome, call


def settle_held(held: "list[tuple[Future[T], Callable[[], T]]]") -> None:
    """Settle the one pair in `held`, and take it out first.

    For thread pools, whose frames refer to a call's arguments until it has ended: the same cycle.
    """
    settle(*held.pop())
