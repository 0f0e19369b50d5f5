"""Who has to go."""

from caravan.models.eviction import Limits, LoadedEntry, victims
from caravan.sizing.sizes import Need
from hypothesis import given
from hypothesis import strategies as st


def occupant(
    name: str,
    *,
    need: int = 1,
    on_gpus: int = 0,
    pinned: bool = False,
    busy: bool = False,
    used: int = 0,
) -> LoadedEntry:
    return LoadedEntry(id=name, need=Need(need, on_gpus), is_pinned=pinned, is_busy=busy, last_used=used)


def test_nobody_goes_while_there_is_room() -> None:
    both = [occupant("a", need=4), occupant("b", need=4)]
    assert victims(both, Need(4), Limits()) == []
    assert victims(both, Need(4), Limits(max_loaded=3, memory_budget=12)) == []


def test_the_least_recently_used_goes_first() -> None:
    three = [occupant("a", used=2), occupant("b", used=1), occupant("c", used=3)]
    assert victims(three, Need(1), Limits(max_loaded=3)) == ["b"]
    assert victims(three, Need(1), Limits(max_loaded=2)) == ["b", "a"]


def test_the_idle_go_before_the_busy() -> None:
    three = [occupant("a", used=1, busy=True), occupant("b", used=2), occupant("c", used=3, busy=True)]
    assert victims(three, Need(1), Limits(max_loaded=3)) == ["b"]
    assert victims(three, Need(1), Limits(max_loaded=2)) == ["b", "a"]


def test_pinned_models_stay() -> None:
    two = [occupant("a", need=6, used=1, pinned=True), occupant("b", need=2, used=2)]
    assert victims(two, Need(4), Limits(memory_budget=10)) == ["b"]
    assert victims(two, Need(5), Limits(memory_budget=10)) is None
    assert victims(two[:1], Need(1), Limits(max_loaded=1)) is None


def test_nobody_goes_in_vain() -> None:
    """The small one is older, but the large one has to go anyway and is enough."""
    two = [occupant("small", need=1, used=1), occupant("large", need=9, used=2)]
    assert victims(two, Need(9), Limits(memory_budget=10)) == ["large"]


def test_a_model_that_is_too_large_is_loaded_alone() -> None:
    assert victims([], Need(100), Limits(memory_budget=10)) == []
    assert victims([occupant("a", need=5)], Need(100), Limits(memory_budget=10)) == ["a"]


def test_a_model_that_would_find_a_full_gpu_has_others_make_room_there() -> None:
    limits = Limits(memory_budget=100, gpu_budget=24)
    present = [occupant("beside", need=9, used=1), occupant("on_it", need=20, on_gpus=18, used=2)]
    assert victims(present, Need(12, 10), limits) == ["on_it"]
    assert victims(present, Need(12, 6), limits) == []
    assert victims(present, Need(12, 10), Limits(memory_budget=100)) == []


def test_a_gpu_that_pinned_models_fill_keeps_nobody_out() -> None:
    limits = Limits(memory_budget=40, gpu_budget=24)
    present = [occupant("pinned", need=20, on_gpus=18, pinned=True), occupant("other", need=9, on_gpus=5)]
    assert victims(present, Need(11, 10), limits) == []
    assert victims(present, Need(12, 10), limits) == ["other"]
    assert victims(present, Need(21, 10), limits) is None
    assert limits.allow([Need(20, 18), Need(20, 18)])
    assert not limits.suit([Need(20, 18), Need(20, 18)])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans(), st.integers(0, 9)), max_size=6),
    st.integers(0, 12),
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_what_stays_fits_and_no_victim_could_stay(
    facts: list[tuple[int, bool, bool, int]], size: int, max_loaded: int, budget: int, gpu_budget: int
) -> None:
    limits = Limits(max_loaded=max_loaded, memory_budget=budget, gpu_budget=gpu_budget)
    need = Need(size, size // 2)
    present = [
        LoadedEntry(
            id=str(index), need=Need(size, size * 2 // 3), is_pinned=pinned, is_busy=busy, last_used=used
        )
        for index, (size, pinned, busy, used) in enumerate(facts)
    ]
    leaving = victims(present, need, limits)
    pinned = [known.need for known in present if known.is_pinned]
    if leaving is None:
        assert not limits.allow([*pinned, need])
        return
    staying = [known for known in present if known.id not in leaving]
    assert limits.allow([*(known.need for known in staying), need])
    fit = limits.suit if limits.suit([*pinned, need]) else limits.allow
    assert fit([*(known.need for known in staying), need])
    assert len(staying) + len(leaving) == len(present)
    for name in leaving:
        gone = next(known for known in present if known.id == name)
        assert not gone.is_pinned
        assert not fit([*(known.need for known in staying), gone.need, need])
