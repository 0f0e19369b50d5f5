"""Who gets what is on the disk, and that it is what would be computed."""

from functools import partial

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.kv.disk.opening import fingerprint
from caravan.engine.params import ONCE, GenerationRequest
from msgspec.structs import replace

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.engine.lives import SIZE, Lives, rest
from tests.engine.real_harness import RealHarness, Workload
from tests.tiny_model import ARCHITECTURES

pytestmark = pytest.mark.usefixtures("either_attention")

# Those of which a part can be copied.
CUTTABLE = ("llama", "qwen2")
PROMPT = [number % 200 for number in range(0, 700, 7)]


def test_what_has_a_salt_is_not_written(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, salt="key_a", max_tokens=1)])
    rest(first)
    first.engine._disk.close(is_sound=True)
    assert lives.num_files == 0


def test_of_a_text_with_a_salt_the_public_part_is_written(lives: Lives) -> None:
    def asked(name: str, salt: str) -> GenerationRequest:
        return replace(request(name, PROMPT, salt=salt, max_tokens=1), num_public_tokens=70)

    first = lives.begin()
    first.run([asked("r", "key_a")])
    rest(first)
    second = lives.begin()
    for item in (asked("same", "key_a"), asked("other", "key_b"), request("none", PROMPT, max_tokens=1)):
        second.run([item])
        assert second.cached_tokens(item.id) == 70


def test_salts_are_never_shared_where_they_are_kept(lives: Lives) -> None:
    first = lives.begin(keeps_private=True)
    first.run([request("r", PROMPT, salt="key_a", max_tokens=1)])
    first.run([request("once", PROMPT, salt=f"{ONCE}1", max_tokens=1)])
    files = -(-(len(PROMPT)) // SIZE)
    rest(first)
    lives.end()
    assert lives.num_files == files, "what is one request's own is not kept"
    second = lives.begin(keeps_private=True)
    for salt, known in (("key_b", 0), ("", 0), (f"{ONCE}1", 0), ("key_a", len(PROMPT) - 1)):
        second.run([request(f"r {salt}", PROMPT, salt=salt, max_tokens=1)])
        assert second.cached_tokens(f"r {salt}") == known
    third = lives.begin()
    third.run([request("r", PROMPT, salt="key_a", max_tokens=1)])
    assert third.cached_tokens("r") == 0
    assert lives.num_files == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.usefixtures("exact_numbers")
def test_read_equals_computed(tiny_models: TinyModels, lives: Lives, architecture: str) -> None:
    """On llama.cpp's memory: conversations whose turns are answered by engines of their own."""
    path = tiny_models[architecture]
    root = fingerprint(EngineConfig(model_path=str(path)))
    workload = Workload(path, 22)
    histories = [workload.tokens(70 + 9 * index) for index in range(5)]
    num_read = 0
    for _ in range(3):
        disk = lives.opened(root, is_whole=architecture not in CUTTABLE)
        harness = RealHarness(path, disk, max_running=3)
        turns = []
        for index, history in enumerate(histories):
            prompt = partial(list.__add__, history, workload.tokens(5))
            turns.append(workload.request(prompt, partial(workload.params, 12)))
            histories[index] = [*turns[-1].token_ids, *workload.answers[turns[-1].id]]
        texts = harness.run(turns)
        assert texts == {key: workload.expected[key] for key in texts}
        num_read += harness.engine.stats().num_hits["disk"]
        rest(harness)
        harness.check_cells()
        harness.close()
    assert num_read > 2 * 5 * 64
    workload.close()
