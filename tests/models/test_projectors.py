"""Which projector a model has: named, found beside it, pulled along; and what it costs if it does not fit."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.llama import library
from caravan.media.client import EncoderClient, EncoderStartError
from caravan.models import CatalogError, model_specs, registry_of
from caravan.models.hub.names import projector_of as pulled_along
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ModelSpec, load
from caravan.models.local_models import stored_models
from caravan.models.projector_names import best
from caravan.models.projectors import EncoderStarter
from caravan.sizing.sizes import resources, sizes_of
from msgspec.structs import replace

from tests.faults.process import child_pids, command_line, is_running
from tests.tiny_model import EMBED, write_tiny_model
from tests.tiny_projector import write_tiny_pair, write_tiny_projector


def spec_of(model: Path, **options: Any) -> ModelSpec:  # noqa: ANN401 (options of all types)
    (spec,) = model_specs(Settings(model=model, **options))
    return spec


async def loaded(spec: ModelSpec) -> EncoderClient | None:
    """The encoder that a model is loaded with; both are closed."""
    model = await load(spec)
    encoder = model.encoder
    await model.engine.close()
    if encoder is not None:
        assert isinstance(encoder, EncoderClient)
        assert encoder.pid is not None
        await encoder.close()
    model.close()
    return encoder


def test_a_projector_beside_the_model_is_found(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    encoder = asyncio.run(loaded(spec_of(model)))
    assert encoder is not None
    assert encoder.modalities == {"image"}


def test_a_named_one_beats_it(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    other = tmp_path / "ears.gguf"
    write_tiny_projector(other, "ultravox")
    encoder = asyncio.run(loaded(spec_of(model, mmproj=other)))
    assert encoder is not None
    assert encoder.modalities == {"audio"}


def test_none_is_none(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    assert spec_of(model, mmproj="none").start_encoder is None
    alone = tmp_path / "alone"
    alone.mkdir()
    write_tiny_model(alone / "model.gguf", "llama")
    assert spec_of(alone / "model.gguf").start_encoder is None


def test_each_model_of_the_configuration_has_its_own(tmp_path: Path) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    tables = [
        {"path": str(model), "id": "sees", "mmproj": str(projector)},
        {"path": str(model), "id": "reads", "mmproj": "none"},
    ]
    specs = model_specs(Settings.model_validate({"models": tables}))
    assert [spec.start_encoder is not None for spec in specs] == [True, False]


def test_a_folder_of_models_has_projectors_beside_them(tmp_path: Path) -> None:
    write_tiny_pair(tmp_path, "llava")
    (spec,) = model_specs(Settings(models_dir=tmp_path))
    assert spec.id == "llava"
    assert spec.start_encoder is not None


def test_a_named_one_that_does_not_fit_fails_the_load_in_one_line(tmp_path: Path) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    write_tiny_projector(projector, "llava", embed=EMBED + 32)
    with pytest.raises(EncoderStartError, match=r"n_embd = 64.*n_embd = 96") as caught:
        asyncio.run(loaded(spec_of(model, mmproj=projector)))
    assert "\n" not in str(caught.value)


def test_a_found_one_that_does_not_fit_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    write_tiny_projector(projector, "llava", embed=EMBED + 32)
    assert asyncio.run(loaded(spec_of(model))) is None
    (line,) = (record.message for record in caplog.records if record.levelname == "WARNING")
    assert "n_embd = 96" in line
    assert "text alone" in line


def test_a_found_one_that_has_gone_since_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    found, named = spec_of(model), spec_of(model, mmproj=projector)
    projector.unlink()
    assert asyncio.run(loaded(found)) is None
    assert "text alone" in caplog.text
    with pytest.raises(EncoderStartError, match="the projector cannot be read"):
        asyncio.run(loaded(named))


def test_what_is_named_and_no_projector_is_told_at_the_start(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    for path in (model, tmp_path / "missing.gguf"):
        with pytest.raises(CatalogError, match="mmproj"):
            spec_of(model, mmproj=path)
    with pytest.raises(CatalogError, match="--mmproj is for"):
        model_specs(Settings(models_dir=tmp_path, mmproj=model))


def test_the_memory_estimate_knows_it(tmp_path: Path) -> None:
    model, projector = write_tiny_pair(tmp_path, "llava")
    engine = spec_of(model).make_engine()
    assert isinstance(engine, AsyncEngine)
    assert engine.config.projector_path == str(projector)
    sizes = sizes_of(engine.config, resources())
    without = sizes_of(EngineConfig(model_path=str(model)), resources())
    assert sizes.memory.projector > projector.stat().st_size
    assert without.memory.projector == 0
    assert sizes.memory.at_start - sizes.memory.projector == without.memory.at_start


def test_engines_whose_encoder_is_elsewhere_take_images_and_need_no_memory_for_it(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    engine = spec_of(model).make_engine()
    assert isinstance(engine, AsyncEngine)
    config = replace(engine.config, is_encoder_elsewhere=True)
    assert config.has_projector
    assert sizes_of(config, resources()).memory.projector == 0


def test_an_encoder_without_gpu_uses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []

    async def note(client: EncoderClient) -> None:
        told.append(client._config.use_gpu)

    monkeypatch.setattr(library, "has_gpu", lambda: True)
    monkeypatch.setattr(EncoderClient, "start", note)
    starter = spec_of(write_tiny_pair(tmp_path, "llava")[0]).start_encoder
    assert isinstance(starter, EncoderStarter)
    asyncio.run(starter())
    asyncio.run(starter.without_gpu()())
    assert told == [True, False]


def test_fingerprints_know_its_content(tmp_path: Path) -> None:
    async def told(spec: ModelSpec) -> str:
        model = spec.open(spec.make_engine())
        model.close()
        return model.fingerprint

    model, projector = write_tiny_pair(tmp_path, "llava")
    first = asyncio.run(told(spec_of(model)))
    assert asyncio.run(told(spec_of(model, mmproj=projector))) == first
    write_tiny_projector(projector, "llava", seed=1)
    assert asyncio.run(told(spec_of(model))) != first
    assert asyncio.run(told(spec_of(model, mmproj="none"))) != first


def test_of_several_the_one_with_the_model_s_words_is_taken() -> None:
    def name(model: str, *files: str) -> str:
        return best([Path(file) for file in files], model).name

    files = ("mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf")
    assert name("gemma-3-4b-it-Q4_K_M", *files) == "mmproj-F16.gguf"
    files = ("mmproj-Qwen2-VL-2B-f16.gguf", "mmproj-gemma-3-4b-it-f32.gguf", "mmproj-F16.gguf")
    assert name("gemma-3-4b-it-Q4_K_M", *files) == "mmproj-gemma-3-4b-it-f32.gguf"


def test_pull_brings_it_along_and_lists_no_model_of_that_name(tmp_path: Path) -> None:
    files = ["a-Q4_K_M.gguf", "a-Q8_0.gguf", "mmproj-a-f16.gguf", "mmproj-a-bf16.gguf", "README.md"]
    assert pulled_along(files, "a-Q4_K_M.gguf") == "mmproj-a-f16.gguf"
    assert pulled_along(files[:2], "a-Q4_K_M.gguf") is None
    folder = tmp_path / "models" / "org" / "repo"
    folder.mkdir(parents=True)
    for file in files[:3]:
        (folder / file).touch()
    assert [model.name for model in stored_models(tmp_path)] == ["org/repo:Q4_K_M", "org/repo:Q8_0"]


def test_lists_tell_what_a_model_reads_before_it_is_loaded(tmp_path: Path) -> None:
    model, _ = write_tiny_pair(tmp_path, "llava")
    assert spec_of(model).read_facts().modalities == {"image"}
    assert spec_of(model, mmproj="none").read_facts().modalities == frozenset()


def test_unloading_a_model_ends_its_encoder(tmp_path: Path) -> None:
    async def work() -> None:
        model, _ = write_tiny_pair(tmp_path, "llava")
        registry = registry_of(Settings(model=model))
        await registry.start()
        loaded_model = registry.loaded("llava")
        assert loaded_model is not None
        encoder = loaded_model.encoder
        assert isinstance(encoder, EncoderClient)
        pid = encoder.pid
        assert pid is not None
        assert is_running(pid)
        await registry.close()
        assert encoder.pid is None
        assert not is_running(pid)

    asyncio.run(work())


def test_a_load_that_fails_leaves_no_encoder(tmp_path: Path) -> None:
    def refuse(_model: LoadedModel) -> None:
        raise ValueError("not this one")

    async def work() -> None:
        model, _ = write_tiny_pair(tmp_path, "llava")
        before = set(child_pids(os.getpid()))
        with pytest.raises(ValueError, match="not this one"):
            await load(spec_of(model), [refuse])
        left = [pid for pid in child_pids(os.getpid()) if pid not in before]
        assert not [pid for pid in left if "caravan.media" in command_line(pid)]

    asyncio.run(work())
