"""Which connection goes when there is one too many."""

import pytest
from caravan.web.uvicorn import connection_limit as limit_module
from caravan.web.uvicorn.connection_limit import ConnectionLimiter, State

from tests.clock import Clock


class Connection:
    """A member that remembers whether it had to go."""

    def __init__(self) -> None:
        self.is_gone = False

    def give_way(self) -> None:
        self.is_gone = True


def admitted(limiter: ConnectionLimiter, count: int, state: State = State.RESTING) -> list[Connection]:
    members = [Connection() for _ in range(count)]
    for member in members:
        assert limiter.admit(member)
        limiter.note(member, state)
    return members


def test_the_one_that_rests_longest_goes_first(clock: Clock) -> None:
    limiter = ConnectionLimiter(3, clock)
    first, second, third = admitted(limiter, 3)
    limiter.note(first, State.SERVER)
    limiter.note(first, State.RESTING)
    assert limiter.admit(Connection())
    assert [member.is_gone for member in (first, second, third)] == [False, True, False]


def test_then_the_one_whose_client_has_kept_it_waiting_the_longest(clock: Clock) -> None:
    limiter = ConnectionLimiter(3, clock)
    busy, slow, slower = admitted(limiter, 3, State.SERVER)
    limiter.note(slower, State.CLIENT)
    clock.now = 1
    limiter.note(slow, State.CLIENT)
    limiter.note(slower, State.CLIENT)
    clock.now = 1.5
    assert limiter.admit(Connection())
    assert [member.is_gone for member in (busy, slow, slower)] == [False, False, True]


def test_nobody_goes_for_having_just_begun_to_send(clock: Clock) -> None:
    limiter = ConnectionLimiter(2, clock)
    (sending, _) = admitted(limiter, 2, State.CLIENT)
    clock.now = 0.5
    assert not limiter.admit(Connection())
    clock.now = 1.5
    assert limiter.admit(Connection())
    assert sending.is_gone


def test_one_that_has_just_come_goes_after_those_that_are_slow(clock: Clock) -> None:
    limiter = ConnectionLimiter(2, clock)
    (slow,) = admitted(limiter, 1, State.CLIENT)
    clock.now = 5
    (new,) = admitted(limiter, 1)
    assert limiter.admit(Connection())
    assert [slow.is_gone, new.is_gone] == [True, False]
    assert limiter.admit(Connection())
    assert new.is_gone


def test_where_the_server_owes_all_of_them_an_answer_the_newcomer_goes(clock: Clock) -> None:
    limiter = ConnectionLimiter(2, clock)
    members = admitted(limiter, 2, State.SERVER)
    clock.now = 100
    newcomer = Connection()
    assert not limiter.admit(newcomer)
    limiter.forget(members[0])
    assert limiter.admit(newcomer)


def test_those_that_leave_take_no_place_and_are_few(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit_module, "_MAX_LEAVING", 3)
    limiter = ConnectionLimiter(1, clock)
    admitted(limiter, 1, State.SERVER)
    refused = [Connection() for _ in range(5)]
    for member in refused:
        assert not limiter.admit(member)
        limiter.note(member, State.LEAVING)
    assert [member.is_gone for member in refused] == [True, True, False, False, False]


def test_where_files_are_short_those_that_leave_go_first(clock: Clock) -> None:
    limiter = ConnectionLimiter(8, clock)
    (busy,) = admitted(limiter, 1, State.SERVER)
    (resting,) = admitted(limiter, 1)
    (leaving,) = admitted(limiter, 1, State.LEAVING)
    for gone in ([True, False, False], [True, True, False]):
        assert limiter.shed()
        assert [member.is_gone for member in (leaving, resting, busy)] == gone
    assert not limiter.shed()
