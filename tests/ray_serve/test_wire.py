"""What crosses arrives as it was, errors too."""

from collections.abc import Iterator

import pytest
from caravan.engine.outputs import EngineStats
from caravan.errors import (
    CaravanError,
    EngineFailedError,
    EngineUnavailableError,
    InvalidValueError,
    OverloadedError,
)
from caravan.ray_serve import wire
from caravan.ray_serve.remote_engine import added


def kinds(kind: type[CaravanError]) -> Iterator[type[CaravanError]]:
    # Others are raised on the web side alone.
    if kind.__module__ == "caravan.errors":
        yield kind
    for narrower in kind.__subclasses__():
        yield from kinds(narrower)


KINDS = [kind for kind in kinds(CaravanError) if kind is not InvalidValueError]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_class_and_its_words(kind: type[CaravanError]) -> None:
    error = kind("Alas.", param="n", code="some_code", retry_after=3)
    frame = wire.frame(wire.encode(wire.failed(error)))
    assert isinstance(frame, wire.Failed)
    found = wire.error_of(frame)
    assert type(found) is kind
    assert (str(found), found.message, found.param) == ("Alas.", "Alas.", "n")
    assert (found.code, found.retry_after, found.status) == ("some_code", 3, kind.status)


def test_an_error_that_makes_its_own_words_keeps_them() -> None:
    frame = wire.frame(wire.encode(wire.failed(InvalidValueError("seed", "must be a number"))))
    assert isinstance(frame, wire.Failed)
    assert wire.error_of(frame).message == "'seed' must be a number."


def test_the_books_of_all_replicas_are_added_up() -> None:
    books = [
        EngineStats(num_running=2, num_drafted={"grammar": 3}),
        EngineStats(num_running=5, num_drafted={"grammar": 1, "text": 7}),
    ]
    whole = added(books)
    assert whole == EngineStats(num_running=7, num_drafted={"grammar": 4, "text": 7})
    assert added([]) == EngineStats()
    update = wire.update(wire.encode(wire.Update(load=wire.Load(stats=whole, pids=(1, 2), taken=("a",)))))
    assert update.load == wire.Load(stats=whole, pids=(1, 2), taken=("a",))


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (EngineFailedError("it died"), True),
        (EngineUnavailableError("it restarts"), True),
        (OverloadedError("it is full"), False),
        (InvalidValueError("n", "is wrong"), False),
    ],
    ids=repr,
)
def test_another_engine_may_go_on_where_the_first_is_at_fault(error: CaravanError, is_lost: bool) -> None:
    assert wire.failed(error).is_lost is is_lost
