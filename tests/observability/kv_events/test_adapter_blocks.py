"""Blocks that one adapter has computed are told with its name; those of several, or salted, are not."""

import pytest
from caravan.engine.block_books import BlockBooks
from caravan.engine.block_events import (
    AllBlocksCleared,
    Block,
    BlocksRemoved,
    BlocksStored,
    block_hashes,
    stored,
)
from caravan.engine.kv.block_tracker import BlockTracker
from caravan.engine.kv.radix_tree import CacheScope, RadixTree
from caravan.engine.kv.scopes import name_of_set
from caravan.observability.kv_events.publisher import PublicBlocks

TEXT = list(range(200))
SIZE = 64


def events_of(scope: str | CacheScope) -> list[object]:
    """What an engine tells of a sequence in a scope, in two steps, and of its end; what of that is public."""
    tree, tracker = RadixTree(), BlockTracker(b"root", SIZE)
    public = PublicBlocks(lambda: ("sql", "one"))
    keys = (CacheScope(scope) if isinstance(scope, str) else scope).keys(TEXT)
    tracker.watch(tree)
    tree.insert(0)
    told: list[object] = []
    for piece in (keys[:100], keys[100:]):
        tree.extend(0, piece)
        told += public.of(tracker.take())
    tree.remove(0)
    return [*told, *public.of(tracker.take())]


def test_what_an_adapter_has_computed_is_told_with_its_name() -> None:
    begun, first, second, cleared = events_of(name_of_set((("sql", 1.0),)))
    assert begun == cleared == AllBlocksCleared()
    assert isinstance(first, BlocksStored)
    assert isinstance(second, BlocksStored)
    assert (first.lora_name, second.lora_name) == ("sql", "sql")
    assert [*first.token_ids, *second.token_ids] == TEXT[:192]
    books = BlockBooks()
    books.add([first, second])
    assert {e.lora_name for e in books.snapshot() if isinstance(e, BlocksStored)} == {"sql"}
    plain = events_of("")[1]
    assert isinstance(plain, BlocksStored)
    assert plain.lora_name is None
    assert not set(plain.block_hashes) & set(first.block_hashes)


@pytest.mark.parametrize(
    "name",
    [
        name_of_set((("sql", 0.5),)),
        name_of_set((("one", 1.0), ("sql", 1.0))),
        name_of_set((("other", 1.0),)),
        name_of_set((("sql", 1.0),)) + "salt",
        "salt",
    ],
)
def test_what_a_router_could_not_tell_apart_is_not_told(name: str) -> None:
    assert events_of(name) == [AllBlocksCleared(), AllBlocksCleared()]


def test_blocks_that_are_gone_are_told_of_once() -> None:
    """A hash that comes again is judged anew."""
    public = PublicBlocks(lambda: ("sql",))
    keys = CacheScope(name_of_set((("sql", 1.0),))).keys(TEXT)
    (name,) = block_hashes(keys[:SIZE], b"root", SIZE)
    event = next(stored([(name, Block(tuple(keys[:SIZE]), None, 0))]))
    assert [e.lora_name for e in public.of([event]) if isinstance(e, BlocksStored)] == ["sql"]
    assert list(public.of([BlocksRemoved((name,))])) == [BlocksRemoved((name,))]
    assert not public._by_adapter


@pytest.mark.parametrize("start", [40, 64, 70, 130])
def test_what_others_go_on_to_compute_is_not_told(start: int) -> None:
    """An activated adapter begins in the middle of a text."""
    first, both = (name_of_set(lora) for lora in ((("sql", 1.0),), (("one", 1.0), ("sql", 1.0))))
    inner = CacheScope(f"{both}\0{start}\0", start, CacheScope(first))
    told = [event for event in events_of(inner) if isinstance(event, BlocksStored)]
    assert all(event.lora_name == "sql" for event in told)
    assert [token for event in told for token in event.token_ids] == TEXT[: start // SIZE * SIZE]
