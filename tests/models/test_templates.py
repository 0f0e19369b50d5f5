"""Which templates a model has, and what is told of them when it is loaded."""

import asyncio
import logging
from pathlib import Path

import pytest
from caravan.chat.rendering.prompt_template import TemplateSyntaxError
from caravan.chat.rendering.turns import Conversation, Turn
from caravan.config.settings import Settings
from caravan.models import model_specs
from caravan.models.loaded_model import LoadedModel
from caravan.models.loader import load
from caravan.models.templates import tried

from tests.chat.rendering.sources import WHOLE
from tests.conftest import TinyModels
from tests.fakes_web import ScriptedEngine
from tests.tiny_model import write_tiny_model
from tests.web.chat_models import HERMES, WEATHER


def opened(settings: Settings) -> LoadedModel:
    (spec,) = model_specs(settings, lambda _config: ScriptedEngine())
    return asyncio.run(load(spec))


def test_a_files_second_template_is_for_requests_with_tools(tmp_path: Path) -> None:
    path = tmp_path / "two.gguf"
    write_tiny_model(path, "qwen2", tool_template=HERMES)
    model = opened(Settings(model=path))
    turns = [Turn(0, "user", "Hi")]
    plain = model.template_for(has_tools=False).write(Conversation(turns))
    with_tools = model.template_for(has_tools=True).write(Conversation(turns, [WEATHER]))
    assert plain.startswith("<|im_start|>user")
    assert with_tools.startswith('{"type": "function"')
    assert (model.family.tools.name, model.family.is_guess) == ("hermes", False)
    assert model.template_summary == tried(path, None, None)
    model.close()


def test_a_template_from_elsewhere_replaces_both(tmp_path: Path) -> None:
    path, file = tmp_path / "two.gguf", tmp_path / "chat.jinja"
    write_tiny_model(path, "qwen2", tool_template=HERMES)
    file.write_text(WHOLE)
    model = opened(Settings(model=path, chat_template=file))
    assert model.tool_template is None
    model.close()


@pytest.mark.parametrize(
    ("source", "tool_format", "warns"), [(WHOLE, None, True), (WHOLE, "hermes", False), (HERMES, None, False)]
)
def test_a_guess_is_warned_about(
    source: str,
    tool_format: str | None,
    warns: bool,
    tiny_models: TinyModels,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(source)
    with caplog.at_level(logging.WARNING):
        model = opened(Settings(model=tiny_models["qwen2"], chat_template=file, tool_format=tool_format))
    model.close()
    assert ("is a guess" in caplog.text) == warns


@pytest.mark.usefixtures("impatient_templates")
@pytest.mark.parametrize("source", ["{% if %}", "{{ 9 ** (9 ** 9) }}"])
def test_a_broken_template_fails_the_load_by_name(
    source: str, tiny_models: TinyModels, tmp_path: Path
) -> None:
    file = tmp_path / "chat.jinja"
    file.write_text(source)
    with pytest.raises(TemplateSyntaxError, match="the chat template"):
        opened(Settings(model=tiny_models["qwen2"], chat_template=file))
