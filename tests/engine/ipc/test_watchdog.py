"""What is a hang and what is not, tick by tick."""

import pytest
from caravan.engine.heartbeat import HeartbeatClock
from caravan.engine.ipc.messages import Heartbeat
from caravan.engine.ipc.watchdog import Watchdog, WatchLimits
from caravan.runtime.machine import ProcessSample

LIMITS = WatchLimits()


class Watched:
    """A process in a test's hands: a tick is a second in which it uses `cpu`."""

    def __init__(self, allowance: float = 10.0) -> None:
        self.dog = Watchdog(LIMITS)
        self.allowance = allowance
        self.turn = 1
        self._cpu = 0.0
        self._faults = 0

    def tick(
        self,
        count: int = 1,
        *,
        states: str = "S",
        cpu: float = 0.001,
        faults: int = 0,
        busy: bool = True,
        answers: bool = True,
    ) -> str | None:
        """What the watchdog says after so many ticks."""
        for _ in range(count):
            self._cpu += cpu
            self._faults += faults
            if answers:
                self.dog.heard(
                    Heartbeat(turn=self.turn, is_busy=busy, allowance=self.allowance, cpu_seconds=self._cpu)
                )
            self.dog.tick(ProcessSample(frozenset(states), self._cpu, self._faults))
        return self.dog.fault


@pytest.mark.parametrize("busy", [False, True])
def test_a_stopped_process_is_noticed_whatever_it_was_doing(busy: bool) -> None:
    watched = Watched()
    assert watched.tick(3, busy=busy, cpu=0.5) is None
    assert watched.tick(LIMITS.suspicion, states="T", answers=False) is None
    assert watched.dog.is_suspicious
    assert watched.tick(2, states="T", answers=False) == "its process is stopped"


def test_one_that_goes_on_is_forgiven() -> None:
    watched = Watched()
    watched.tick()
    watched.tick(3, states="T", answers=False)
    assert watched.tick(states="S", busy=False) is None
    assert not watched.dog.is_suspicious
    assert watched.tick(3, states="T", answers=False) is None


def test_in_a_debugger_it_gets_no_work_and_is_left_alone() -> None:
    watched = Watched()
    watched.tick()
    assert watched.tick(1000, states="t", answers=False) is None
    assert watched.dog.is_suspicious
    assert watched.tick(states="S") is None


def test_a_deadlock_is_a_step_in_which_nothing_moves() -> None:
    watched = Watched()
    watched.tick()
    assert watched.tick(LIMITS.still - 1) is None
    assert watched.dog.is_suspicious
    assert watched.tick() == "nothing has moved in it for 10 s"


def test_an_idle_engine_may_be_still_for_ever() -> None:
    watched = Watched()
    assert watched.tick(1000, busy=False) is None
    assert not watched.dog.is_suspicious


@pytest.mark.parametrize(
    ("states", "cpu", "faults"),
    [
        pytest.param("RS", 0.001, 0, id="it wants a processor and others have it"),
        pytest.param("DS", 0.0, 0, id="it waits for a disk"),
        pytest.param("S", 0.0, 3, id="its weights come from a disk"),
        pytest.param("S", 0.3, 0, id="it works when nobody looks"),
    ],
)
def test_a_slow_machine_is_no_hang(states: str, cpu: float, faults: int) -> None:
    watched = Watched(allowance=100)
    assert watched.tick(200, states=states, cpu=cpu, faults=faults) is None
    assert not watched.dog.is_suspicious


def test_an_endless_loop_is_a_step_that_works_for_longer_than_any_could() -> None:
    watched = Watched(allowance=10)
    assert watched.tick(11, states="R", cpu=1.0) is None
    assert watched.tick(2, states="R", cpu=1.0) == "a step has been computing for 12 s"


@pytest.mark.parametrize(("cpu", "most"), [(16.0, 12), (0.1, 110)])
def test_time_counts_as_far_as_it_got_to_work(cpu: float, most: int) -> None:
    """With many threads it does not pass faster, and with a tenth of a processor it passes as slowly."""
    watched = Watched(allowance=10)
    count = 0
    while watched.tick(states="R", cpu=cpu) is None:
        count += 1
    assert most - 12 <= count <= most


def test_steps_that_end_are_no_loop() -> None:
    watched = Watched(allowance=10)
    for turn in range(300):
        watched.turn = turn
        assert watched.tick(states="R", cpu=1.0) is None


@pytest.mark.parametrize(("states", "most"), [("S", LIMITS.silent), ("R", LIMITS.silent_at_work)])
def test_no_answer_is_a_hang_sooner_where_nothing_runs(states: str, most: int) -> None:
    watched = Watched()
    watched.tick(busy=False)
    assert watched.tick(most - 2, states=states, answers=False) is None
    assert watched.dog.is_suspicious
    assert watched.tick(states=states, answers=False) is not None


def test_one_that_works_now_and_then_is_not_deaf() -> None:
    watched = Watched()
    watched.tick(busy=False)
    for _ in range(8):
        assert watched.tick(states="R", answers=False) is None
        assert watched.tick(LIMITS.silent - 1, states="S", answers=False) is None


def test_a_process_that_still_begins_has_more_time_but_not_without_end() -> None:
    watched = Watched()
    assert watched.tick(LIMITS.first_answer - 1, answers=False) is None
    assert not watched.dog.is_suspicious
    assert watched.tick(answers=False) is not None


def test_where_the_system_tells_nothing_answers_count() -> None:
    dog = Watchdog(LIMITS)
    dog.heard(Heartbeat(turn=1, is_busy=True, allowance=10, cpu_seconds=1))
    for _ in range(LIMITS.silent_at_work - 1):
        dog.tick(None)
        assert dog.fault is None
    dog.tick(None)
    assert dog.fault is not None


def test_where_the_system_tells_nothing_a_loop_is_still_a_loop() -> None:
    dog = Watchdog(LIMITS)
    for second in range(20):
        dog.heard(Heartbeat(turn=1, is_busy=True, allowance=10, cpu_seconds=second))
        dog.tick(None)
    assert dog.fault == "a step has been computing for 19 s"


def test_a_model_may_take_long_to_load() -> None:
    watched = Watched(allowance=HeartbeatClock().pulse().allowance)
    assert watched.tick(1000, states="R", cpu=4.0) is None


def test_a_step_may_take_many_times_what_the_longest_took() -> None:
    heart = HeartbeatClock()
    heart.begin()
    heart.beat()
    first = heart.pulse()
    assert first.is_busy
    assert first.allowance == 10
    total = 0
    while heart.pulse().cpu_seconds - first.cpu_seconds < 0.6:
        total += 1
    heart.beat()
    assert heart.pulse().turn == first.turn + 1
    assert 11 < heart.pulse().allowance < 100
    heart.rest()
    assert not heart.pulse().is_busy
    assert total
