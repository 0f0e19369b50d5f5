"""What goes wrong with an image, or is given up in the midst of it, is nothing to others."""

import dataclasses
import gc
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from caravan.engine.outputs import FinishReason
from caravan.llama.model_file import Weights

from tests.engine.harness import request
from tests.engine.media.images import Image, Part, with_images
from tests.engine.media.kinds import Draw, Open, alone
from tests.engine.media.test_media import mixed

pytestmark = pytest.mark.usefixtures("either_attention")


def test_an_aborted_image_is_no_beginning(opened: Open, draw: Draw) -> None:
    """What was given up in the middle of an image serves another up to the image."""
    image = draw(1, 10, 8)
    parts: list[Part] = [[1] * 20, image, [2] * 20]
    harness = opened(batch_size=16) if image.is_causal else opened()
    harness.engine.submit(with_images(request("a", [0]), parts))
    for _ in range(4):
        harness.engine.turn()
    harness.engine.abort("a")
    harness.finish()
    texts = harness.run([with_images(request("b", [0]), parts)])
    assert texts["b", 0] == alone(opened, [with_images(request("b", [0]), parts)])["b", 0]


def test_faults_are_told_to_their_request_alone(opened: Open, draw: Draw, tmp_path: Path) -> None:
    image = draw(1)
    good = with_images(request("good", [0]), [[1] * 5, image, [2] * 5])
    run = good.media[0]
    replace = msgspec.structs.replace
    gone = replace(run, embeddings=replace(run.embeddings, path=str(tmp_path / "gone")))
    empty = tmp_path / "empty"
    empty.touch()
    short = replace(run, embeddings=replace(run.embeddings, offset=100))
    wide = replace(run, embeddings=replace(run.embeddings, width=5))
    bad = [
        replace(good, id="gone", media=(gone,)),
        replace(good, id="short", media=(short,)),
        replace(good, id="wide", media=(wide,)),
        replace(good, id="empty", media=(replace(run, embeddings=replace(run.embeddings, path=str(empty))),)),
        replace(good, id="moved", media=(replace(run, start=6),)),
        replace(good, id="twice", media=(run, run)),
        replace(good, id="none", media=()),
        replace(good, id="negative", token_ids=(-2, *good.token_ids[1:])),
        replace(good, id="key", media=(replace(run, key=b"x"),)),
        with_images(request("infinite", [0]), [[1] * 5, spoilt(tmp_path, image, np.inf), [2]]),
        with_images(request("nan", [0]), [[1] * 5, spoilt(tmp_path, image, np.nan), [2]]),
        replace(good, id="positions", media=(replace(run, positions=b"1234"),)),
    ]
    harness = opened()
    texts = harness.run([*bad, good])
    reasons = harness.reasons()
    assert all(reasons[item.id, 0] == [FinishReason.ERROR] for item in bad)
    assert texts["good", 0] == alone(opened, [good])["good", 0]


def spoilt(folder: Path, image: Image, value: float) -> Image:
    """The same with a number that is none."""
    embeddings = image.embeddings.copy()
    embeddings[-1, 2] = value
    path = folder / f"{value}.embeddings"
    path.write_bytes(bytes(64) + embeddings.tobytes())
    return dataclasses.replace(image, path=str(path), embeddings=embeddings)


def test_weights_that_may_be_others_have_an_image_computed_again(opened: Open, draw: Draw) -> None:
    looks = iter([*[Weights.SOUND] * 2, Weights.SUSPECT, Weights.SOUND, Weights.SUSPECT])
    harness = opened(look_at_weights=lambda: next(looks, Weights.SOUND))
    requests = mixed(draw, 3, 4)
    assert harness.run(requests) == alone(opened, requests)


def test_embeddings_are_let_go_of_with_their_request(opened: Open, draw: Draw) -> None:
    made = with_images(request("a", [0]), [[1] * 5, draw(1), [2] * 5])
    path = made.media[0].embeddings.path
    harness = opened()
    harness.engine.submit(made)
    harness.engine.turn()
    assert path in Path("/proc/self/maps").read_text()
    harness.finish()
    gc.collect()
    assert path not in Path("/proc/self/maps").read_text()


def test_images_of_one_file_have_it_open_once(opened: Open, draw: Draw) -> None:
    """As the parts of one that was sliced."""
    parts: list[Part] = [draw(1), [2]]
    made = with_images(request("a", [0]), [[1] * 5, *parts * 20])
    harness = opened()
    before = len(os.listdir("/proc/self/fd"))
    harness.engine.submit(made)
    harness.engine.turn()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert harness.finish() == alone(opened, [made])


def test_the_file_may_go_once_the_request_is_taken(opened: Open, draw: Draw) -> None:
    image = draw(1)
    made = with_images(request("a", [0]), [[1] * 5, image, [2] * 5])
    expected = alone(opened, [made])
    harness = opened()
    harness.engine.submit(made)
    harness.engine.turn()
    Path(image.path).unlink()
    assert harness.finish() == expected


def test_a_preempted_stream_of_a_short_prompt_looks_again(opened: Open, draw: Draw) -> None:
    """Few tokens that a stream misses are computed at once, unless an image is among them."""
    made = with_images(request("a", [0]), [[1], draw(1, 2, 2), [2]])
    harness = opened()
    harness.engine.submit(made)
    while not harness.texts().get(("a", 0)):
        harness.engine.turn()
    harness.engine._scheduler.preempt_one()
    assert harness.finish() == alone(opened, [made])
    assert harness.context.media_sizes == [4, 4]
