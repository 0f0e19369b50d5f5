"""Hashes of blocks: equal exactly where a prefix may be shared."""

import itertools

import msgspec
from caravan.engine.block_events import (
    Block,
    BlocksStored,
    block_hashes,
    chain_root,
    hashes_of_request,
    stored,
)
from caravan.engine.kv.block_tracker import Watch
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.kv.radix_tree import CacheScope
from msgspec.structs import replace

from tests.engine.harness import Harness, request

ROOT = chain_root("a model")
TEXT = list(range(32))


def test_only_whole_blocks_have_hashes_and_each_covers_what_is_before_it() -> None:
    hashes = block_hashes(TEXT, ROOT, 8)
    assert len(set(hashes)) == 4
    assert all(0 <= name < 1 << 64 for name in hashes)
    assert block_hashes(TEXT[:31], ROOT, 8) == hashes[:3]
    assert block_hashes(TEXT[:7], ROOT, 8) == []
    other = block_hashes([99, *TEXT[1:]], ROOT, 8)
    assert not set(other) & set(hashes)


def test_hashes_are_the_same_wherever_they_are_computed() -> None:
    """A router on another machine computes them, too, by another version perhaps."""
    assert chain_root("a model", ["adapter"]).hex() == "2d508654cc8871e1385728c5926a81c9"
    assert block_hashes(TEXT, ROOT, 16) == [6509230792373656081, 16656615993751648905]


def test_models_and_adapters_share_nothing() -> None:
    roots = [
        chain_root("a"),
        chain_root("b"),
        chain_root("a", ["b"]),
        chain_root("ab"),
        chain_root("a", ["", "b"]),
    ]
    heads = [block_hashes(TEXT, root, 8)[0] for root in roots]
    assert len(set(heads)) == len(roots)


def test_hashes_agree_exactly_as_far_as_a_prefix_is_shared() -> None:
    scopes = [CacheScope(), *(CacheScope(name, count) for name in ("one", "two") for count in (0, 3, 8, 20))]
    for one, other in itertools.product(scopes, scopes):
        keys = one.keys(TEXT), other.keys(TEXT)
        hashes = [block_hashes(key, ROOT, 4) for key in keys]
        assert common_prefix(hashes[0], hashes[1]) == common_prefix(keys[0], keys[1]) // 4


def test_a_requests_last_token_is_always_computed() -> None:
    asked = replace(request("r", TEXT), cache_salt="one", num_public_tokens=5)
    keys = CacheScope("one", 5).keys(TEXT)
    assert hashes_of_request(asked, ROOT, 8) == block_hashes(keys, ROOT, 8)[:3]


def test_events_tell_in_which_block_a_text_begins_to_be_private() -> None:
    keys = CacheScope("one", 9).keys(TEXT)
    names = block_hashes(keys, ROOT, 8)
    blocks = [
        (name, Block(tuple(keys[8 * i : 8 * i + 8]), names[i - 1] if i else None, i))
        for i, name in enumerate(names)
    ]
    (event,) = stored(blocks)
    assert (event.block_hashes, event.parent_hash, event.token_ids) == (tuple(names), None, tuple(TEXT))
    assert [bool(scope) for scope in event.scopes] == [False, True, False, False]
    assert len(list(stored(blocks[::2]))) == 2
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=BlocksStored) == event


def test_an_engine_tells_of_the_blocks_of_prompts_and_answers() -> None:
    harness = Harness()
    told: list[object] = []
    harness.engine.watch_blocks(Watch(ROOT, 8, told.extend))
    harness.run([request("r", TEXT[:20], max_tokens=30, ignore_eos=True)])
    events = [event for event in told if isinstance(event, BlocksStored)]
    tokens = [token for event in events for token in event.token_ids]
    assert tokens[:20] == TEXT[:20]
    # The last token that was drawn is not computed.
    assert len(tokens) == 48
    assert [name for event in events for name in event.block_hashes] == block_hashes(tokens, ROOT, 8)
    harness.engine.watch_blocks(None)
    told.clear()
    harness.run([request("s", TEXT[8:], max_tokens=30)])
    assert told == []
