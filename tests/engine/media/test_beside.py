"""Images beside what else goes with prompts: the cache on the disk, drafts, events for routers."""

from pathlib import Path

import msgspec
import pytest
from caravan.engine.block_events import BLOCK_SIZE, BlockEvent, BlocksStored, hashes_of_request
from caravan.engine.drafts.proposers import Proposers
from caravan.engine.kv.block_tracker import Watch
from caravan.engine.kv.continuations import Continuations
from caravan.engine.params import GenerationRequest

from tests.engine.drafts.drafted import draft_always
from tests.engine.harness import Harness, request
from tests.engine.lives import Lives, rest
from tests.engine.media.images import Part, random_image, with_images
from tests.fakes import FakeContext

STEM = [number % 200 for number in range(0, 700, 7)]


@pytest.fixture
def parts(tmp_path: Path) -> list[Part]:
    return [STEM, random_image(tmp_path, 1, 40), [1, 2, 3]]


@pytest.mark.parametrize("keeps_private", [False, True])
@pytest.mark.parametrize("salt", ["", "x"])
def test_the_disk_keeps_the_text_before_an_image(
    lives: Lives, parts: list[Part], keeps_private: bool, salt: str
) -> None:
    made = with_images(request("r", [0], salt=salt), parts)
    first = lives.begin(keeps_private=keeps_private)
    told = first.run([made])
    rest(first)
    first.engine._disk.close(is_sound=True)
    second = lives.begin(keeps_private=keeps_private)
    assert second.run([made]) == told
    assert second.cached_tokens("r") == (len(STEM) if keeps_private or not salt else 0)


def test_the_disk_keeps_nothing_of_memory_that_is_kept_whole(lives: Lives, parts: list[Part]) -> None:
    made = with_images(request("r", [0]), parts)
    context = FakeContext(can_cut=False, can_checkpoint=True)
    first = lives.begin(context)
    told = first.run([made])
    rest(first)
    assert lives.num_files == 0
    second = lives.begin(FakeContext(can_cut=False, can_checkpoint=True))
    assert second.run([made]) == told


def test_drafts_change_no_text(parts: list[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    draft_always(monkeypatch)
    other: list[Part] = [parts[0], parts[1], [1, 2, 3], parts[1], [4]]
    requests = [
        with_images(request("a", [0], max_tokens=60, repeat_penalty=1.1), parts),
        with_images(request("b", [0], max_tokens=60), other),
        # It begins as the second does, and is no place to go on with an image.
        with_images(request("c", [0], max_tokens=60), parts),
    ]
    alone: dict[tuple[str, int], str] = {}
    for item in requests:
        alone |= Harness().run([item])
    harness = Harness(batch_size=64, max_drafted=8)
    engine = harness.engine
    proposers = Proposers(engine._token_space.token_bytes, Continuations(engine._kv_cache.trees))
    engine._drafter.make_chain = proposers.chain_for
    for _ in range(2):
        for item in requests:
            harness.outputs.clear()
            assert harness.run([item])[item.id, 0] == alone[item.id, 0]
    assert sum(engine.stats().num_drafted.values()) > 50


def test_routers_are_told_which_image_it_was(parts: list[Part], tmp_path: Path) -> None:
    def stored(made: GenerationRequest) -> set[int]:
        harness = Harness()
        told: list[BlockEvent] = []
        harness.engine.watch_blocks(Watch(b"root", BLOCK_SIZE, told.extend))
        harness.run([made])
        return {name for event in told if isinstance(event, BlocksStored) for name in event.block_hashes}

    same = with_images(request("a", [0], max_tokens=1), parts)
    other = with_images(same, [parts[0], random_image(tmp_path, 2, 40), parts[2]])
    private = msgspec.structs.replace(same, cache_salt="x")
    for made in (same, other, private):
        assert set(hashes_of_request(made, b"root")) == stored(made)
    assert len(stored(same) & stored(other)) == len(STEM) // BLOCK_SIZE
    assert not stored(same) & stored(private)
