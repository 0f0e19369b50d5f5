"""Who has to go."""

from hypothesis import given
from hypothesis import strategies as st

from server.registry.room import Limits, Occupant, victims


def occupant(
    name: str, *, need: int = 1, pinned: bool = False, busy: bool = False, used: int = 0
) -> Occupant:
    return Occupant(id=name, need=need, is_pinned=pinned, is_busy=busy, last_used=used)


def test_nobody_goes_while_there_is_room() -> None:
    both = [occupant("a", need=4), occupant("b", need=4)]
    assert victims(both, 4, Limits()) == []
    assert victims(both, 4, Limits(max_loaded=3, memory_budget=12)) == []


def test_the_least_recently_used_goes_first() -> None:
    three = [occupant("a", used=2), occupant("b", used=1), occupant("c", used=3)]
    assert victims(three, 1, Limits(max_loaded=3)) == ["b"]
    assert victims(three, 1, Limits(max_loaded=2)) == ["b", "a"]


def test_the_idle_go_before_the_busy() -> None:
    three = [occupant("a", used=1, busy=True), occupant("b", used=2), occupant("c", used=3, busy=True)]
    assert victims(three, 1, Limits(max_loaded=3)) == ["b"]
    assert victims(three, 1, Limits(max_loaded=2)) == ["b", "a"]


def test_pinned_models_stay() -> None:
    two = [occupant("a", need=6, used=1, pinned=True), occupant("b", need=2, used=2)]
    assert victims(two, 4, Limits(memory_budget=10)) == ["b"]
    assert victims(two, 5, Limits(memory_budget=10)) is None
    assert victims(two[:1], 1, Limits(max_loaded=1)) is None


def test_nobody_goes_in_vain() -> None:
    """The small one is older, but the large one has to go anyway and is enough."""
    two = [occupant("small", need=1, used=1), occupant("large", need=9, used=2)]
    assert victims(two, 9, Limits(memory_budget=10)) == ["large"]


def test_a_model_that_is_too_large_is_loaded_alone() -> None:
    assert victims([], 100, Limits(memory_budget=10)) == []
    assert victims([occupant("a", need=5)], 100, Limits(memory_budget=10)) == ["a"]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans(), st.integers(0, 9)), max_size=6),
    st.integers(0, 12),
    st.integers(0, 5),
    st.integers(0, 20),
)
def test_what_stays_fits_and_no_victim_could_stay(
    facts: list[tuple[int, bool, bool, int]], need: int, max_loaded: int, budget: int
) -> None:
    limits = Limits(max_loaded=max_loaded, memory_budget=budget)
    present = [
        Occupant(id=str(index), need=size, is_pinned=pinned, is_busy=busy, last_used=used)
        for index, (size, pinned, busy, used) in enumerate(facts)
    ]
    leaving = victims(present, need, limits)
    pinned = [known.need for known in present if known.is_pinned]
    if leaving is None:
        assert not limits.allow([*pinned, need])
        return
    staying = [known for known in present if known.id not in leaving]
    assert limits.allow([*(known.need for known in staying), need])
    assert len(staying) + len(leaving) == len(present)
    for name in leaving:
        gone = next(known for known in present if known.id == name)
        assert not gone.is_pinned
        assert not limits.allow([*(known.need for known in staying), gone.need, need])
