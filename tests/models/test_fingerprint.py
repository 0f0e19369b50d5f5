"""A backend's fingerprint: equal where texts must be, another where they may differ."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from caravan.config.model_settings import ModelSettings
from caravan.models.loader import fingerprint

from tests.conftest import TinyModels

TEMPLATE = "{{ messages }}"


def of(path: Path, template: str = TEMPLATE, **options: Any) -> str:  # noqa: ANN401
    return fingerprint(path, template, ModelSettings(path=path, **options))


def test_where_a_model_lies_and_what_it_is_called_is_nothing_to_it(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    path = tiny_models["qwen2"]
    copy = Path(shutil.copy(path, tmp_path / "copy.gguf"))
    assert of(path) == of(copy, id="copy", aliases=["c"], preload=True, pinned=True, queue_seconds=3)


def test_other_weights_templates_and_options_show(tiny_models: TinyModels, tmp_path: Path) -> None:
    path = tiny_models["qwen2"]
    changed = tmp_path / path.name
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    changed.write_bytes(data)
    found = [
        of(path),
        of(changed),
        of(path, "{{ messages }} "),
        of(path, context_size=64),
        of(path, gpu_layers=0),
        of(path, tool_format="hermes"),
        of(path, defaults={"temperature": 0.5}),
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("place", [0, 1 << 20, (9 << 20) - 1])
def test_of_a_large_file_its_ends_and_samples_between_are_read(tmp_path: Path, place: int) -> None:
    size = 9 << 20
    path = tmp_path / "large.gguf"
    path.write_bytes(bytes(size))
    before = of(path)
    with path.open("r+b") as file:
        # Another training has other numbers everywhere; here just one stretch of them.
        file.seek(max(0, place - (1 << 18)))
        file.write(b"\x01" * (1 << 18))
    assert path.stat().st_size == size
    assert of(path) != before
