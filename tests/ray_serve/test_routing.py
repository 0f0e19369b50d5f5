"""Requests go where they cost the least, in tokens, by what replicas have told."""

import random

from caravan.engine.block_events import (
    BLOCK_SIZE,
    AllBlocksCleared,
    BlocksRemoved,
    BlocksStored,
    block_hashes,
    chain_root,
)
from caravan.ray_serve.routing import PrefixIndex
from caravan.ray_serve.wire import Load, Route

from tests.clock import Clock

ROOT = chain_root("model")


def stored(hashes: list[int]) -> BlocksStored:
    return BlocksStored(tuple(hashes), None, (), BLOCK_SIZE)


def route(name: str, token_ids: list[int], root: bytes = ROOT) -> Route:
    return Route(name, len(token_ids), tuple(block_hashes(token_ids[:-1], root)))


def text(seed: int, length: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(1000) for _ in range(length)]


def test_a_prompt_goes_where_most_of_it_is() -> None:
    index = PrefixIndex(decode_weight=16)
    prompt = text(1, 640)
    index.note("a", [stored(block_hashes(prompt[:128], ROOT))], Load())
    index.note("b", [stored(block_hashes(prompt[:512], ROOT))], Load())
    wanted = route("r", prompt)
    assert index.ranked(wanted, ["a", "b", "c"]) == ["b", "a", "c"]
    assert [index.num_uncached(wanted, name) for name in "abc"] == [512, 128, 640]


def test_blocks_of_another_group_are_no_blocks_of_this_one() -> None:
    index = PrefixIndex(decode_weight=16)
    prompt = text(1, 640)
    index.note("a", [stored(block_hashes(prompt, chain_root("model", ["adapter"])))], Load())
    assert index.num_uncached(route("r", prompt), "a") == 640


def test_what_waits_there_and_what_runs_there_costs_too() -> None:
    index = PrefixIndex(decode_weight=16)
    prompt = text(1, 640)
    index.note("a", [stored(block_hashes(prompt[:512], ROOT))], Load(waiting_tokens=600))
    index.note("b", [], Load(num_running=2))
    wanted = route("r", prompt)
    assert (index.cost(wanted, "a"), index.cost(wanted, "b")) == (728, 672)
    assert index.ranked(wanted, ["a", "b"]) == ["b", "a"]
    index.note("b", [], Load(num_running=6))
    assert index.ranked(wanted, ["a", "b"]) == ["a", "b"]
    index.note("a", [], Load(is_ready=False))
    assert index.ranked(wanted, ["a", "b"]) == ["b", "a"]


def test_what_was_sent_counts_before_the_replica_tells_of_it() -> None:
    index = PrefixIndex(decode_weight=16)
    prompt = text(1, 640)
    index.sent(route("first", prompt), "a")
    again = route("second", prompt + text(2, 64))
    assert index.num_uncached(again, "a") == 704 - 9 * BLOCK_SIZE
    other = route("other", text(3, 640))
    assert index.cost(other, "a") == 640 + 640 + 16
    # It has told that it has the request: its own word counts now, and the blocks are still expected.
    index.note("a", [], Load(waiting_tokens=5, taken=("first",)))
    assert index.cost(other, "a") == 645
    assert index.num_uncached(again, "a") == 704 - 9 * BLOCK_SIZE
    index.ended("first", "a")
    assert index.num_uncached(again, "a") == 704


def test_a_replica_that_has_lost_a_request_is_the_last_to_get_it_again() -> None:
    index = PrefixIndex(decode_weight=16)
    wanted = route("r", text(1, 640))
    index.note("a", [stored(list(wanted.block_hashes))], Load())
    assert index.ranked(wanted, ["a", "b"]) == ["a", "b"]
    index.sent(wanted, "a")
    assert index.ranked(wanted, ["a", "b"]) == ["b", "a"]
    index.sent(wanted, "b")
    # The end of the first try is no end of the second.
    index.ended("r", "a")
    assert index.ranked(Route("r"), ["a", "b"]) == ["b"]
    assert sorted(index.ranked(Route("unknown"), ["a", "b"])) == ["a", "b"]
    index.ended("r", "b")
    assert index.ranked(wanted, ["a", "b"]) == ["a", "b"]


def test_what_is_about_to_be_sent_counts_for_a_while() -> None:
    clock = Clock()
    index = PrefixIndex(decode_weight=0, clock=clock)
    wanted, again = route("r", text(1, 640)), route("again", text(1, 640))
    index.expect(wanted, "a")
    assert index.num_uncached(again, "a") == 640 - 9 * BLOCK_SIZE
    # It may come to another, and is not lost where it was only expected.
    assert index.cost(wanted, "a") == index.cost(wanted, "b")
    index.sent(wanted, "b")
    assert [index.num_uncached(again, name) for name in "ab"] == [640, 640 - 9 * BLOCK_SIZE]
    clock.now += 60
    assert index.num_uncached(again, "b") == 640 - 9 * BLOCK_SIZE
    # Nobody has taken this one: whoever asked for it is gone.
    index.expect(route("gone", text(2, 640)), "a")
    assert index.cost(again, "a") == 1280
    clock.now += 60
    assert index.cost(again, "a") == 640


def test_equals_take_turns() -> None:
    index = PrefixIndex(decode_weight=0)
    taken = []
    for number in range(6):
        wanted = route(f"r{number}", text(number, 65))
        taken.append(index.ranked(wanted, ["a", "b", "c"])[0])
        index.sent(wanted, taken[-1])
        index.note(taken[-1], [], Load(taken=(f"r{number}",)))
    assert sorted(taken) == ["a", "a", "b", "b", "c", "c"]


def test_the_index_knows_what_a_scan_over_all_that_was_told_finds() -> None:
    rng = random.Random(5)
    index = PrefixIndex(decode_weight=0)
    there: dict[str, set[int]] = {"a": set(), "b": set()}
    stems = [text(seed, 1000) for seed in range(4)]
    for _ in range(400):
        name, stem = rng.choice("ab"), rng.choice(stems)
        hashes = block_hashes(stem[: rng.randrange(1000)], ROOT)
        kind = rng.randrange(20)
        if kind == 0:
            index.note(name, [AllBlocksCleared()], None)
            there[name].clear()
        elif kind < 8:
            index.note(name, [BlocksRemoved(tuple(hashes[-2:]))], None)
            there[name] -= set(hashes[-2:])
        else:
            index.note(name, [stored(hashes)], None)
            there[name] |= set(hashes)
        prompt = rng.choice(stems)[: rng.randrange(1, 1000)]
        wanted = route("r", prompt)
        for other in "ab":
            count = 0
            while count < len(wanted.block_hashes) and wanted.block_hashes[count] in there[other]:
                count += 1
            assert index.num_uncached(wanted, other) == max(1, len(prompt) - count * BLOCK_SIZE)
