"""From a container's limits, as files of control groups, to the sizes of an engine."""

import dataclasses
import logging
import os
from pathlib import Path

import pytest
from caravan.config.settings import Settings
from caravan.engine.ipc import messages
from caravan.llama.devices import gpus
from caravan.llama.gguf_header import GgufHeader
from caravan.models.engine_config import engine_config, memory_budget
from caravan.runtime.machine import memory_limit
from caravan.sizing.sizes import Sizes, resources, settle

from tests.runtime.test_machine import tree
from tests.sizing.test_sizes import HEADER

pytestmark = pytest.mark.skipif(bool(gpus()), reason="sizes follow a GPU where there is one")

MIB = 1 << 20
# 1 GiB of weights, 128 KiB a cell.
MODEL = dataclasses.replace(HEADER, file_size=1 << 30)


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def container(root: Path, version: int, *, limit: int, used: int = 0, cores: int | None = None) -> Path:
    """A container's files, of a machine with 16 GiB of which 8 are free, and 8 cores."""
    if version == 2:
        return tree(
            root,
            proc__self__cgroup="0::/\n",
            sys__fs__cgroup__cpu_dot_max="max 100000" if cores is None else f"{cores * 100000} 100000",
            sys__fs__cgroup__memory_dot_max=str(limit),
            sys__fs__cgroup__memory_dot_current=str(used),
        )
    return tree(
        root,
        proc__self__cgroup="5:cpu:/docker/abc\n4:memory:/docker/abc\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="-1" if cores is None else f"{cores * 100000}",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000",
        sys__fs__cgroup__memory__memory_dot_limit_in_bytes=str(limit),
        sys__fs__cgroup__memory__memory_dot_usage_in_bytes=str(used),
    )


def served(root: Path, header: GgufHeader = MODEL, **options: object) -> Sizes:
    """What a server in that container would settle on."""
    settings = Settings.model_validate(options)
    config = engine_config(header.path, settings, memory_budget(settings, root))
    return settle(config, header, resources(root))


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_with_little_gets_less_of_everything(tmp_path: Path, version: int) -> None:
    roomy = served(container(tmp_path / "roomy", version, limit=8 << 30))
    assert (roomy.config.num_threads, roomy.config.max_running) == (8, 64)
    assert (roomy.config.context_size, roomy.config.num_cells, roomy.config.num_host_cache_tokens) == (
        8192,
    ) * 3
    assert roomy.shortages == ()

    root = container(tmp_path / "tight", version, limit=2 << 30, used=100 * MIB, cores=2)
    tight = served(root)
    assert memory_limit(root) == 2 << 30
    # The budget is four fifths of the limit, and what is used already leaves more than that.
    assert tight.config.memory_budget == int(0.8 * (2 << 30))
    assert tight.config.num_threads == 2
    assert (tight.config.max_running, tight.config.max_sequences, tight.reason) == (32, 64, "for 2 cores")
    assert (tight.config.context_size, tight.config.num_cells) == (2048, 2048)
    assert tight.memory.at_start <= tight.config.memory_budget < tight.memory.at_start + 2048 * 128 * 1024
    assert tight.config.num_host_cache_tokens is not None
    assert tight.config.num_host_cache_tokens < 2048
    assert [line.split(" instead")[0] for line in tight.shortages] == [
        "2048 tokens in memory",
        f"{tight.config.num_host_cache_tokens} tokens of idle texts kept aside",
    ]


@pytest.mark.parametrize("version", [1, 2])
def test_what_others_in_the_container_use_is_not_free(tmp_path: Path, version: int) -> None:
    alone = served(container(tmp_path / "alone", version, limit=4 << 30))
    beside = served(container(tmp_path / "beside", version, limit=4 << 30, used=(5 << 30) // 2))
    assert alone.config.num_cells == 8192
    assert beside.config.num_cells < 8192
    assert beside.memory.at_start <= (3 << 30) // 2


@pytest.mark.parametrize("version", [1, 2])
def test_a_limit_above_the_machine_is_none(tmp_path: Path, version: int) -> None:
    root = container(tmp_path, version, limit=64 << 30)
    assert memory_limit(root) == 16 << 30
    assert served(root).config.memory_budget == int(0.8 * (16 << 30))
    assert served(root, memory_budget="3GiB").config.memory_budget == 3 << 30
    assert served(root, context_size=2048, kv_cache_tokens=4096, max_running=3).config.max_sequences == 6


@pytest.mark.parametrize("words", ["12GiB", "100MB", "1000000"])
def test_a_budget_as_options_write_it_goes_over_to_an_engine(words: str) -> None:
    settings = Settings.model_validate({"memory_budget": words})
    config = engine_config(Path("model.gguf"), settings, memory_budget(settings))
    load = messages.Load(config, logging.INFO)
    encoded = messages.encode(load)[messages.LENGTH_SIZE :]
    assert messages.to_engine_decoder.decode(encoded) == load
