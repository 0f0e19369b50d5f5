"""What is found of a text among chunks, held against a look at all of them."""

import random
import struct

import pytest
from caravan.engine.kv.disk.chunk_index import ChunkIndex
from caravan.engine.kv.disk.chunks import WHOLE, Chunk, chunk_after, chunks_of
from caravan.engine.kv.radix_tree import CacheScope

ROOT = bytes(16)
SIZE = 4


def index_of(*texts: list[int]) -> ChunkIndex:
    index = ChunkIndex(ROOT, SIZE)
    for keys in texts:
        assert not index.add_all(chunks_of(keys, ROOT, SIZE))
    return index


def num_shared(left: list[int], right: list[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


@pytest.mark.parametrize(("size", "longest"), [(SIZE, 15), (64, 150)])
@pytest.mark.parametrize("seed", range(20))
def test_it_finds_what_a_look_at_all_texts_finds(seed: int, size: int, longest: int) -> None:
    rng = random.Random(seed)
    stems = [[rng.randrange(2) for _ in range(longest)] for _ in range(3)]
    scopes = [CacheScope(), CacheScope("a", 3), CacheScope("b", 3), CacheScope("a")]

    def text() -> list[int]:
        stem = rng.choice(stems)[: rng.randrange(longest)]
        tail = [rng.randrange(2) for _ in range(rng.randrange(1, longest - len(stem) + 1))]
        return rng.choice(scopes).keys([*stem, *tail])

    texts = [text() for _ in range(12)]
    index = ChunkIndex(ROOT, size)
    for keys in texts:
        for chunk in list(index.missing(keys)):
            index.add(chunk)
    for keys in [*texts, *(text() for _ in range(30))]:
        found = index.match(keys)
        most = max(num_shared(keys, other) for other in texts)
        # Of a chunk that only begins with the same few tokens, nothing is known.
        assert most - max(1, size // 16) < found.length <= most
        ends = [chunk.end for chunk in found.chunks]
        assert ends == sorted(ends)
        assert all(chunk.start == size * i for i, chunk in enumerate(found.chunks))
    for keys in texts:
        index.drop(next(chunks_of(keys, ROOT, size)).name)
    assert len(index) == 0
    assert index._after == {}


def test_texts_have_the_same_chunks_as_far_as_they_are_the_same() -> None:
    left, right = list(range(10)), [*range(8), 9, 9]
    names = [[chunk.name for chunk in chunks_of(keys, ROOT, SIZE)] for keys in (left, right)]
    assert names[0][:2] == names[1][:2]
    assert names[0][2] != names[1][2]
    others = [chunk.name for chunk in chunks_of(left, bytes(15) + b"\1", SIZE)]
    assert not set(others) & set(names[0])


def test_a_longer_chunk_takes_the_place_of_its_beginning() -> None:
    index = index_of([1, 2, 3, 4, 5, 6])
    (longer,) = index.missing([1, 2, 3, 4, 5, 6, 7])
    assert index.add(longer) == [chunk_after(longer.parent, 4, [5, 6]).name]
    assert list(index.missing([1, 2, 3, 4, 5])) == []
    assert len(index) == 2


def test_a_chunk_goes_with_all_that_follow_on_it() -> None:
    index = index_of([1] * 9, [1] * 4 + [2] * 4)
    first = next(chunks_of([1] * 4, ROOT, SIZE))
    assert len(index.drop(first.name)) == 4
    assert len(index) == 0
    assert index.match([1] * 9).length == 0


def test_a_chunk_without_the_one_before_it_is_of_no_use() -> None:
    index = ChunkIndex(ROOT, SIZE)
    first, second = chunks_of([1] * 8, ROOT, SIZE)
    assert index.add(second) == [second.name]
    assert index.add_all([second, first]) == []
    assert index.match([1] * 8).length == 8


def test_what_is_private_is_found_by_its_own_alone() -> None:
    tokens = list(range(10))
    index = index_of(CacheScope("a", 5).keys(tokens))
    assert index.match(CacheScope("a", 5).keys(tokens)).length == 10
    assert index.match(CacheScope("b", 5).keys(tokens)).length == 5
    assert index.match(tokens).length == 5
    assert index.match(CacheScope("a", 0).keys(tokens)).length == 0


def test_what_is_kept_whole_is_found_whole() -> None:
    index = ChunkIndex(ROOT, WHOLE)
    for keys in ([1, 2, 3], [1, 2, 3, 4, 5], [1, 9]):
        assert index.add_all(chunks_of(keys, ROOT, WHOLE)) == []
    lengths = [index.match(keys).length for keys in ([1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [1, 9, 9])]
    assert lengths == [0, 3, 5, 2]
    assert [chunk.count for chunk in index.missing([1, 2, 3, 4])] == [4]


def test_no_public_tokens_are_named_as_a_private_chunk() -> None:
    """Those that would be hashed as a mark and what follows it."""
    private = chunk_after(ROOT, 0, [1, 2, (77 << 32) | 3])
    disguised = struct.pack("<I", private.mark_at) + private.mark + private.tokens
    public = chunk_after(ROOT, 0, struct.unpack(f"<{len(disguised) // 4}I", disguised))
    assert public.tokens == disguised
    assert public.name != private.name


def test_a_mark_has_a_place_of_its_own_in_a_chunk() -> None:
    chunks: list[Chunk] = list(chunks_of(CacheScope("a", 5).keys(list(range(10))), ROOT, SIZE))
    assert [chunk.is_marked for chunk in chunks] == [False, True, False]
    assert chunks[1].mark_at == 1
