"""Images in prompts: the text is that of each request alone, whatever runs beside it or ran before."""

import random

import msgspec
import numpy as np
import pytest
from caravan.engine.params import GenerationRequest
from caravan.engine.sequence import Sequence

from tests.engine.harness import Harness, Key, request
from tests.engine.media.images import Part, with_images
from tests.engine.media.kinds import Draw, Open, alone
from tests.fakes import VOCAB_SIZE

pytestmark = pytest.mark.usefixtures("either_attention")


def mixed(draw: Draw, seed: int, count: int) -> list[GenerationRequest]:
    """Prompts with images at any place, many with a common beginning."""
    rng = random.Random(seed)
    images = [draw(number, rng.randrange(1, 6), rng.randrange(1, 8)) for number in range(4)]
    stems: list[list[Part]] = [
        [tokens(rng, 1, 30), rng.choice(images), tokens(rng, 1, 30), rng.choice(images)] for _ in range(3)
    ]
    requests = []
    for number in range(count):
        parts = [*rng.choice(stems)[: rng.randrange(1, 5)]]
        if rng.random() < 0.5:
            parts.append(rng.choice(images))
        if rng.random() < 0.9:
            parts.append(tokens(rng, 1, 12))
        made = request(
            f"r{number}",
            [0],
            n=rng.choice([1, 1, 1, 3]),
            salt=rng.choice(["", "", "a", "b"]),
            temperature=rng.choice([0.0, 1.0]),
            seed=rng.randrange(1000),
            max_tokens=rng.randrange(1, 40),
            repeat_penalty=rng.choice([1.0, 1.3]),
        )
        requests.append(with_images(made, parts))
    return requests


def unfinished(harness: Harness) -> list[Sequence]:
    return harness.engine._scheduler.unfinished


def tokens(rng: random.Random, least: int, most: int) -> list[int]:
    return [rng.randrange(256) for _ in range(rng.randrange(least, most))]


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_gives_the_texts_of_each_alone(opened: Open, draw: Draw, seed: int) -> None:
    requests = mixed(draw, seed, 12)
    assert opened().run(requests) == alone(opened, requests)


@pytest.mark.parametrize("seed", range(4))
def test_a_warm_cache_gives_the_texts_of_a_cold_one(opened: Open, draw: Draw, seed: int) -> None:
    requests = mixed(draw, seed, 12)
    harness = opened()
    texts: dict[Key, str] = {}
    for item in requests:
        texts = harness.run([item])
    assert texts == alone(opened, requests)
    assert sum(harness.cached_tokens(item.id) for item in requests) > 0


@pytest.mark.parametrize("seed", range(4))
def test_scarce_memory_gives_the_same_texts(opened: Open, draw: Draw, seed: int) -> None:
    requests = mixed(draw, seed, 12)
    harness = opened(num_cells=220, max_sequences=5)
    assert harness.run(requests) == alone(opened, requests)
    assert harness.engine.stats().num_preemptions or harness.engine.stats().num_evictions


def test_an_image_is_shared_and_another_is_not(opened: Open, draw: Draw) -> None:
    first, second = draw(1), draw(2)
    harness = opened(checkpoint_bytes=1 << 20)
    asked: dict[str, list[Part]] = {
        "a": [[1] * 20, first, [2] * 20],
        "same": [[1] * 20, first, [3] * 4],
        "again": [[1] * 20, first, [2] * 20],
        "other": [[1] * 20, second, [2] * 20],
    }
    texts = {}
    for name, parts in asked.items():
        texts = harness.run([with_images(request(name, [0]), parts)])
    assert texts["a", 0] == texts["again", 0] != texts["other", 0]
    assert harness.cached_tokens("a") == 0
    assert harness.cached_tokens("again") >= 35
    assert harness.cached_tokens("other") <= 20


def test_no_group_has_the_images_of_another(opened: Open, draw: Draw) -> None:
    harness = opened()
    image = draw(1)
    for name, salt in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "x")]:
        made = msgspec.structs.replace(request(name, [0], salt=salt), num_public_tokens=40)
        harness.run([with_images(made, [[1] * 20, image, [2] * 20])])
    # What is public before an image is everybody's.
    assert harness.cached_tokens("b") <= 20
    assert harness.cached_tokens("d") >= 35


def test_choices_share_the_image_of_their_prompt(opened: Open, draw: Draw) -> None:
    harness = opened(checkpoint_bytes=1 << 20)
    image = draw(1)
    made = with_images(request("a", [0], n=3, temperature=1.0, seed=1), [[1] * 20, image, [2] * 9])
    harness.engine.submit(made)
    harness.engine.turn()
    # The numbers of its cells are large: there is one of each.
    numbers = [sequence.token_ids[20 : 20 + len(image.embeddings)] for sequence in unfinished(harness)]
    assert [len(set(map(id, same))) for same in zip(*numbers, strict=True)] == [1] * len(image.embeddings)
    texts = harness.finish()
    assert texts == alone(opened, [made])
    assert sum(harness.context.media_sizes) == len(image.embeddings)


def test_an_image_at_the_end_is_gone_on_from(opened: Open, draw: Draw) -> None:
    made = with_images(request("a", [0]), [[1] * 20, draw(1)])
    harness = opened()
    once = harness.run([made])
    again = harness.run([msgspec.structs.replace(made, id="b")])
    assert once["a", 0] == again["b", 0]
    assert len(once["a", 0]) > 5


def test_streams_go_on_beside_images(opened: Open, draw: Draw) -> None:
    harness = opened()
    harness.engine.submit(request("stream", [5] * 4, max_tokens=60))
    for _ in range(4):
        harness.engine.turn()
    made = with_images(request("look", [0], max_tokens=4), [draw(1, 10, 8), [1] * 3])
    harness.engine.submit(made)
    gaps, gap = [], 0
    for _ in range(40):
        before = len(harness.texts().get(("stream", 0), ""))
        harness.engine.turn()
        gap = 0 if len(harness.texts()["stream", 0]) > before else gap + 1
        gaps.append(gap)
    harness.finish()
    # Where attention has tiles, texts take turns among themselves, too.
    assert max(gaps) <= 3
    assert len(harness.texts()["look", 0]) > 0


def test_prompts_tell_nothing_of_images(opened: Open, draw: Draw) -> None:
    image = draw(1)
    made = with_images(request("a", [0], max_tokens=1), [[1] * 5, image, [2] * 6, image, [3]])
    made = msgspec.structs.replace(made, num_prompt_logprobs=2)
    harness = opened()
    for name in ("a", "b"):
        harness.run([msgspec.structs.replace(made, id=name)])
    told = {
        name: [e for o in harness.outputs if o.request_id == name for e in o.prompt_logprobs]
        for name in ("a", "b")
    }
    known = [-1 if token_id < 0 else token_id for token_id in made.token_ids[1:]]
    ends = [run.start + run.num_cells - 1 for run in made.media]
    expected = [-1 if place in ends else token_id for place, token_id in enumerate(known)]
    assert [entry.token_id for entry in told["a"]] == expected
    assert [entry.logprob == entry.logprob for entry in told["a"]] == [i >= 0 for i in expected]
    assert [(e.token_id, e.rank) for e in told["b"]] == [(e.token_id, e.rank) for e in told["a"]]


def test_an_image_is_no_token_that_was_repeated(opened: Open, draw: Draw) -> None:
    made = with_images(request("a", [0], presence_penalty=1.0, max_tokens=9), [[1, 2], draw(1), [3]])
    (sequence,) = opened().engine._sequence_factory.sequences(made, is_taken=False)
    row = np.zeros(VOCAB_SIZE, np.float32)
    sequence.sampler.candidates(row)
    assert np.flatnonzero(row).tolist() == [1, 2, 3]


def test_one_image_does_not_wait_for_all_of_anothers(opened: Open, draw: Draw) -> None:
    """Of one owner. Who has many images goes on meanwhile."""
    harness = opened()
    many = [draw(number, 8, 8) for number in range(6)]
    harness.engine.submit(with_images(request("many", [0]), [[1] * 3, *many, [2]]))
    harness.engine.turn()
    (sequence,) = harness.engine._scheduler.running
    for number in range(6):
        one: list[Part] = [[3], draw(50 + number, 8, 8), [4]]
        harness.engine.submit(with_images(request(f"one {number}", [0], max_tokens=1), one))
    while not any(name == "one 4" for name, _ in harness.reasons()):
        harness.engine.turn()
    assert 64 < sequence.num_computed_tokens < 4 * 64
    harness.finish()
