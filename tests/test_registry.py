"""Models by name, and what is read from their files."""

import asyncio
from pathlib import Path

import pytest

from server.engine.config import EngineConfig
from server.errors import EngineUnavailableError, ModelNotFoundError
from server.llama.model import ModelLoadError
from server.registry import ModelRegistry, open_model
from server.settings import Settings
from tests.conftest import TinyModels
from tests.fakes_web import ScriptedEngine, loaded_model


def test_models_are_found_by_id_and_alias_once_they_have_started() -> None:
    model = loaded_model()
    registry = ModelRegistry([model])
    assert registry.find("fake") is registry.find("org/other-name") is model
    with pytest.raises(EngineUnavailableError):
        registry.acquire("fake")
    asyncio.run(registry.start())
    assert registry.acquire("org/other-name") is model
    for find in (registry.find, registry.acquire):
        with pytest.raises(ModelNotFoundError, match="'none'"):
            find("none")


def test_an_engine_that_restarts_leaves_its_model_in_place() -> None:
    engine = ScriptedEngine()
    registry = ModelRegistry([loaded_model(engine)])
    asyncio.run(registry.start())
    engine.is_ready = False
    assert not registry.is_ready
    assert registry.acquire("fake").engine is engine


def test_opening_reads_vocabulary_template_and_names(tiny_models: TinyModels) -> None:
    path = tiny_models["qwen2"]
    configs: list[EngineConfig] = []

    def make_engine(config: EngineConfig) -> ScriptedEngine:
        configs.append(config)
        return ScriptedEngine()

    settings = Settings(model=path, model_aliases=["other"], context_size=128, kv_cells=256, threads=3)
    model = open_model(settings, make_engine)
    assert (model.id, model.aliases) == (path.stem, ("other",))
    config = configs[0]
    assert Path(config.model_path) == path
    assert (config.context_size, config.num_cells, config.num_threads) == (128, 256, 3)

    text = model.template.render([{"role": "user", "content": "the héllo"}])
    assert text == "<|im_start|>user\nthe héllo<|im_end|>\n<|im_start|>assistant\n"
    token_ids = model.vocab.tokenize(text, add_special=True, parse_special=True)
    assert len(token_ids) < len(text)
    assert len(text.encode()) <= model.vocab.longest_token * len(token_ids)
    assert model.metadata["general.architecture"] == "qwen2"


def test_a_template_file_replaces_the_models_own(tiny_models: TinyModels, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text("{{ messages[0].content }}!", encoding="utf-8")
    settings = Settings(model=tiny_models["qwen2"], chat_template=file, model_id="named")
    model = open_model(settings, lambda _config: ScriptedEngine())
    assert model.id == "named"
    assert model.template.render([{"role": "user", "content": "Hi"}]) == "Hi!"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "no.gguf"
    for content in (None, b"", b"GGUF", b"hello"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ModelLoadError):
            open_model(Settings(model=file), lambda _config: ScriptedEngine())
