"""What the operator reads first."""

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.llama.devices import Gpu
from caravan.sizing.sizes import Resources, settle
from caravan.web.startup_message import size_lines, startup_message

from tests.fakes_web import loaded_model, registry_over
from tests.sizing.test_sizes import LAYERED


@pytest.mark.parametrize(
    ("host", "is_tls", "base"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:80/v1"),
        ("0.0.0.0", True, "https://127.0.0.1:80/v1"),
        ("::1", False, "http://[::1]:80/v1"),
    ],
)
def test_the_address_is_one_to_call(host: str, base: str, *, is_tls: bool) -> None:
    shown = startup_message(registry_over(loaded_model()), (host, 80), num_keys=0, is_tls=is_tls)
    assert f"base URL: {base}\n" in shown
    assert f"curl {base}/chat/completions" in shown
    assert "Bearer" not in shown


def test_the_page_is_named_where_it_is_served() -> None:
    registry, place = registry_over(loaded_model()), ("127.0.0.1", 80)
    shown = startup_message(registry, place, num_keys=0, is_tls=False)
    assert "page:     http://127.0.0.1:80/\n" in shown
    assert "page:" not in startup_message(registry, place, num_keys=0, is_tls=False, has_page=False)


def test_layers_on_gpus_are_told_of_where_there_are_any() -> None:
    config, gpu = EngineConfig(model_path=""), Gpu(free=8 << 30, total=8 << 30)
    sizes = settle(config, LAYERED, Resources(memory=64 << 30, cores=2, gpus=(gpu,)))
    placement = sizes.placement
    assert list(size_lines(sizes, can_generate=True)) == [
        "  at once:  64 sequences (for a GPU), 8192 tokens in memory",
        f"  on GPUs:  33 of 33 layers, {placement.num_bytes >> 20} MiB",
        f"  takes:    2 threads, up to {sizes.at_most >> 20} MiB of memory",
    ]
    assert placement.num_bytes <= 7 << 30
    alone = settle(config, LAYERED, Resources(memory=64 << 30, cores=2))
    assert not any("GPU" in line for line in size_lines(alone, can_generate=True))
