"""Which models a server has, and what is read from their files."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from caravan.chat.rendering.turns import Conversation, Turn
from caravan.config.engine_config import EngineConfig
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from caravan.llama.gguf_header import HeaderError
from caravan.models import CatalogError, ModelSpec, model_specs
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import ContextLength, load
from caravan.sizing.sizes import Need
from pydantic import ValidationError

from tests.conftest import TinyModels
from tests.fakes_web import ScriptedEngine
from tests.tiny_model import TRAINING_CONTEXT


def quiet_specs(settings: Settings) -> list[ModelSpec]:
    return model_specs(settings, lambda _config: ScriptedEngine())


def opened(spec: ModelSpec) -> LoadedModel:
    return asyncio.run(load(spec))


def names(found: list[ModelSpec]) -> list[str]:
    return [spec.id for spec in found]


def test_opening_reads_vocabulary_template_and_names(tiny_models: TinyModels) -> None:
    path = tiny_models["qwen2"]
    configs: list[EngineConfig] = []

    def make_engine(config: EngineConfig) -> ScriptedEngine:
        configs.append(config)
        return ScriptedEngine()

    settings = Settings(model=path, model_aliases=["other"], context_size=128, kv_cache_tokens=256, threads=3)
    (spec,) = model_specs(settings, make_engine)
    assert (spec.id, spec.aliases, spec.preload) == (path.stem, ("other",), True)
    model = opened(spec)
    config = configs[0]
    assert Path(config.model_path) == path
    assert (config.context_size, config.num_cells, config.num_threads) == (128, 256, 3)

    text = model.template.write(Conversation([Turn(0, "user", "the héllo")]))
    assert text == "<|im_start|>user\nthe héllo<|im_end|>\n<|im_start|>assistant\n"
    token_ids = model.vocab.tokenize(text, add_special=True, parse_special=True)
    assert len(token_ids) < len(text)
    assert len(text.encode()) <= model.vocab.longest_token * len(token_ids)
    assert model.metadata["general.architecture"] == "qwen2"
    assert spec.read_metadata()["general.architecture"] == "qwen2"
    assert spec.estimate_need().total > path.stat().st_size
    assert spec.read_context() == ContextLength(128, TRAINING_CONTEXT)
    model.close()


def test_a_template_file_replaces_the_models_own(tiny_models: TinyModels, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ messages[0].content }}!", encoding="utf-8")
    settings = Settings(model=tiny_models["qwen2"], chat_template=file, model_id="named")
    (spec,) = quiet_specs(settings)
    assert spec.id == "named"
    model = opened(spec)
    assert model.template.write(Conversation([Turn(0, "user", "Hi")])) == "Hi!"
    model.close()


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "no.gguf"
    with pytest.raises(CatalogError, match=r"no such file: .*no.gguf"):
        quiet_specs(Settings(model=file))
    for content in (b"", b"hello"):
        file.write_bytes(content)
        with pytest.raises(CatalogError, match=r"no\.gguf: this "):
            quiet_specs(Settings(model=file))
    file.write_bytes(b"GGUF")
    (spec,) = quiet_specs(Settings(model=file))
    assert spec.estimate_need() == Need()
    assert spec.read_context() == ContextLength()
    with pytest.raises(HeaderError, match="cut off"):
        opened(spec)


def test_without_a_name_it_is_the_resident_model() -> None:
    assert names(quiet_specs(Settings())) == ["caravan-resident"]


def test_tables_have_options_of_their_own_and_the_servers_else(tiny_models: TinyModels) -> None:
    configs: list[EngineConfig] = []

    def make_engine(config: EngineConfig) -> ScriptedEngine:
        configs.append(config)
        return ScriptedEngine()

    tables = [
        ModelSettings(path=tiny_models["llama"], id="a", aliases=["x/y"], context_size=64, pinned=True),
        ModelSettings(path=tiny_models["qwen2"], defaults={"temperature": 0.5}),
    ]
    found = model_specs(Settings(models=tables, context_size=128, threads=2), make_engine)
    assert names(found) == ["a", "qwen2-F32"]
    assert [(spec.preload, spec.pinned) for spec in found] == [(True, True), (False, False)]
    assert found[0].aliases == ("x/y",)
    assert found[1].operator_defaults == {"temperature": 0.5}
    for spec in found:
        spec.make_engine()
    assert [(config.context_size, config.num_threads) for config in configs] == [(64, 2), (128, 2)]
    both = model_specs(Settings(model=tiny_models["mamba"], models=tables), make_engine)
    assert names(both) == ["mamba-F32", "a", "qwen2-F32"]


def test_tables_are_checked(tiny_models: TinyModels, tmp_path: Path) -> None:
    for wrong in ({}, {"path": "x", "context_size": -1}, {"path": "x", "colour": "red"}):
        with pytest.raises(ValidationError):
            ModelSettings.model_validate(wrong)
    with pytest.raises(CatalogError, match="no such file"):
        quiet_specs(Settings(models=[ModelSettings(path=tmp_path / "none.gguf")]))
    same = [ModelSettings(path=tiny_models["llama"], id="a"), ModelSettings(path=tiny_models["qwen2"])]
    same.append(ModelSettings(path=tiny_models["qwen2"], id="b", aliases=["a"]))
    with pytest.raises(CatalogError, match="2 models are called 'a'; give"):
        quiet_specs(Settings(models=same))
    for name in ("a", "alias"):
        table = ModelSettings(
            path=tiny_models["llama"], id="a", aliases=["alias"], lora={name: tmp_path / "x"}
        )
        with pytest.raises(CatalogError, match=rf"2 models are called '{name}' \(adapters count\)"):
            quiet_specs(Settings(models=[table]))


def test_a_folder_is_served_with_split_files_once_and_broken_ones_left_out(
    tiny_models: TinyModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def put(name: str, architecture: str = "llama") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(tiny_models[architecture], path)
        return path

    put("one.gguf")
    put("deep/two.gguf", "qwen2")
    put("same.gguf")
    put("deep/same.gguf")
    for number in (1, 2):
        put(f"big-0000{number}-of-00002.gguf")
    put("gone-00001-of-00002.gguf")
    (tmp_path / "cut.gguf").write_bytes(tiny_models["llama"].read_bytes()[:1000])
    (tmp_path / "notes.txt").write_text("hello")
    os.mkfifo(tmp_path / "pipe.gguf")
    found = quiet_specs(Settings(models_dir=tmp_path))
    assert sorted(names(found)) == ["big", "deep/same", "one", "same", "two"]
    assert not any(spec.preload for spec in found)
    assert {spec.read_context() for spec in found} == {ContextLength(TRAINING_CONTEXT, TRAINING_CONTEXT)}
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 3
    assert any(
        warning.endswith("pipe.gguf: this is no regular file, but a named pipe") for warning in warnings
    )
    assert any("cut.gguf" in warning for warning in warnings)
    assert any("gone-00001-of-00002.gguf" in warning for warning in warnings)

    with_one = Settings(models_dir=tmp_path, models=[ModelSettings(path=tmp_path / "one.gguf", pinned=True)])
    assert sorted(names(quiet_specs(with_one))) == sorted(names(found))
    with pytest.raises(CatalogError, match="no such folder"):
        quiet_specs(Settings(models_dir=tmp_path / "none"))


def test_a_stored_model_is_found_by_its_name(tiny_models: TinyModels, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "org" / "Repo-GGUF"
    folder.mkdir(parents=True)
    shutil.copy(tiny_models["llama"], folder / "repo-1b-Q4_K_M.gguf")
    settings = Settings(model=Path("org/repo-gguf:q4_k_m"), data_dir=tmp_path)
    (spec,) = quiet_specs(settings)
    assert spec.id == "org/Repo-GGUF:Q4_K_M"
    assert names(quiet_specs(Settings(model=Path("org/Repo-GGUF"), data_dir=tmp_path))) == [spec.id]
    shutil.copy(tiny_models["llama"], folder / "repo-1b-Q8_0.gguf")
    with pytest.raises(CatalogError):
        quiet_specs(Settings(model=Path("org/Repo-GGUF"), data_dir=tmp_path))
    model = opened(quiet_specs(settings)[0])
    assert model.id == spec.id
    model.close()


def test_the_operator_may_say_how_calls_are_written(tiny_models: TinyModels) -> None:
    (spec,) = quiet_specs(Settings(model=tiny_models["qwen2"], tool_format="mistral"))
    model = opened(spec)
    assert model.family.tools.name == "mistral"
    model.close()
    with pytest.raises(CatalogError, match=r"there is no tool_format 'mistal'; there are .*mistral"):
        quiet_specs(Settings(model=tiny_models["qwen2"], tool_format="mistal"))


def test_files_that_nobody_could_name_are_passed_over(
    tiny_models: TinyModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(tiny_models["qwen2"], tmp_path / "good.gguf")
    shutil.copy(tiny_models["qwen2"], tmp_path / os.fsdecode(b"bad\xff.gguf"))
    (tmp_path / "loop.gguf").symlink_to(tmp_path / "loop.gguf")
    assert names(quiet_specs(Settings(models_dir=tmp_path))) == ["good"]
    assert caplog.text.count("passed over") == 2


def test_a_draft_model_is_found_like_any_other(tiny_models: TinyModels) -> None:
    configs: list[EngineConfig] = []

    def make_engine(config: EngineConfig) -> ScriptedEngine:
        configs.append(config)
        return ScriptedEngine()

    settings = Settings(model=tiny_models["qwen2"], draft_model=tiny_models["llama"])
    model_specs(settings, make_engine)[0].make_engine()
    table = ModelSettings(path=tiny_models["llama"], draft_model=tiny_models["qwen2"])
    model_specs(Settings(models=[table]), make_engine)[0].make_engine()
    drafts = [config.draft_model_path for config in configs]
    assert drafts == [str(tiny_models["llama"]), str(tiny_models["qwen2"])]
    with pytest.raises(CatalogError, match="no such file: nowhere"):
        quiet_specs(Settings(model=tiny_models["qwen2"], draft_model=Path("nowhere.gguf")))
    with pytest.raises(CatalogError, match="guesses nothing with speculative 0"):
        quiet_specs(Settings(model=tiny_models["qwen2"], draft_model=tiny_models["llama"], speculative=0))
    with pytest.raises(CatalogError, match="--draft-model is for the model of --model"):
        quiet_specs(Settings(models=[table], draft_model=tiny_models["qwen2"]))
