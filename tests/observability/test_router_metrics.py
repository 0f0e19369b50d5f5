"""The series that routers read, by the names that they look for."""

from caravan.engine.outputs import EngineStats
from caravan.observability.metrics import EngineReading, Metrics, View
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tests.engine.harness import Harness, request
from tests.engine.test_background import beneath
from tests.fakes import FakeContext

STATS = EngineStats(num_running=3, num_waiting=2, num_cells=8192, num_cells_used=8000, num_cells_active=2048)


def series(view: View) -> dict[str, list[tuple[dict[str, str], float]]]:
    """vLLM's, with labels and values."""
    metrics = Metrics(lambda: [EngineReading(model="small", stats=STATS, num_restarts=0, pid=None)])
    text = metrics.render("", view)[0].decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for sample in samples:
        if sample.name.startswith("vllm:"):
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_routers_find_what_they_look_for() -> None:
    told = series(View())
    model = {"model_name": "small"}
    assert told.pop("vllm:lora_requests_info")[0][0] == {
        **model,
        "max_lora": "0",
        "running_lora_adapters": "",
        "waiting_lora_adapters": "",
    }
    assert told == {
        "vllm:num_requests_running": [(model, 3)],
        "vllm:num_requests_waiting": [(model, 2)],
        "vllm:kv_cache_usage_perc": [(model, 0.25)],
        "vllm:gpu_cache_usage_perc": [(model, 0.25)],
        "vllm:cache_config_info": [({**model, "block_size": "64", "num_gpu_blocks": "128"}, 1)],
    }


def test_adapters_are_told_that_run_or_are_waited_for() -> None:
    context = FakeContext(adapters=dict.fromkeys(("one", "two", "three"), ()))
    harness = Harness(context, max_running=2)
    for name, lora in (("a", "one"), ("b", "two"), ("c", "three")):
        asked = request(name, range(40), max_tokens=50, ignore_eos=True)
        harness.engine.submit(replace(asked, lora=((lora, 1.0),)))
    harness.engine.turn()
    told = harness.engine.stats()
    assert (told.num_adapters, told.running_adapters, told.waiting_adapters) == (
        3,
        {"one": 1, "two": 1},
        {"three": 1},
    )
    harness.finish()
    assert harness.engine.stats().running_adapters == {}


def test_a_key_sees_those_of_its_models() -> None:
    assert series(View(models=["other"], of_server=False)) == {}
    assert series(View(models=["small"], of_server=False)).keys() == series(View()).keys()


def test_background_work_is_no_load() -> None:
    harness = Harness(max_running=2)
    for number in range(4):
        harness.engine.submit(beneath(request(f"b{number}", [number] * 40, max_tokens=50, ignore_eos=True)))
    harness.engine.turn()
    beneath_all = harness.engine.stats()
    assert (beneath_all.num_running, beneath_all.num_waiting) == (2, 2)
    assert (beneath_all.num_live_running, beneath_all.num_live_waiting) == (0, 0)
    assert beneath_all.num_cells_active == 0 < beneath_all.num_cells_used
    for number in range(3):
        harness.engine.submit(request(f"r{number}", [number] * 40, max_tokens=50, ignore_eos=True))
    harness.engine.turn()
    mixed = harness.engine.stats()
    assert (mixed.num_live_running, mixed.num_live_waiting) == (2, 1)
    assert (mixed.num_background_running, mixed.num_background_waiting) == (0, 4)
    harness.finish()


def test_idle_sequences_leave_their_cells_to_whoever_comes() -> None:
    harness = Harness()
    harness.engine.submit(request("r", range(40), max_tokens=5, ignore_eos=True))
    harness.engine.turn()
    running = harness.engine.stats()
    assert running.num_cells_active == running.num_cells_used > 0
    harness.finish()
    idle = harness.engine.stats()
    assert (idle.num_cells_active, idle.num_running) == (0, 0)
    assert idle.num_cells_used >= 40
