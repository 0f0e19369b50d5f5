"""Layers on other machines take none of this one's memory."""

from caravan.config.engine_config import EngineConfig
from caravan.llama.devices import Gpu
from caravan.models.engine_config import need_of

from tests.conftest import TinyModels
from tests.sizing.test_sizes import LAYERED, gpu, settled


def worker(free: int) -> Gpu:
    return Gpu(free=free, total=free, is_remote=True)


def test_what_workers_hold_is_not_needed_here() -> None:
    near, far = settled(LAYERED, gpu(24 << 30)), settled(LAYERED, worker(24 << 30))
    assert far.placement == near.placement
    assert (far.on_workers, near.on_workers) == (near.placement.num_bytes, 0)
    assert (far.on_gpus, far.need.on_gpus) == (0, 0)
    assert far.at_start == near.at_start
    assert far.need.total == near.need.total - near.placement.num_bytes


def test_a_model_that_is_too_big_for_the_machine_is_spread_over_two() -> None:
    sizes = settled(LAYERED, worker(3 << 30), gpu(3 << 30), free=3 << 30)
    assert 0 < sizes.on_workers < sizes.placement.num_bytes
    assert sizes.on_gpus == sizes.placement.num_bytes - sizes.on_workers
    assert sizes.at_start <= 3 << 30 < sizes.memory.at_start


def test_a_budget_is_for_this_machine(tiny_models: TinyModels) -> None:
    """The server does not ask workers: it takes them for large enough, and the engine finds out."""
    alone = EngineConfig(model_path=str(tiny_models["llama"]), num_cells=2048, context_size=2048)
    config = EngineConfig(
        model_path=alone.model_path, num_cells=2048, context_size=2048, rpc_workers=("nowhere.invalid:1",)
    )
    assert 0 < need_of(config).total < need_of(alone).total
    assert need_of(config).on_gpus == need_of(alone).on_gpus
