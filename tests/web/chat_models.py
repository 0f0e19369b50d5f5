"""A model that thinks and calls tools in Hermes format, as far as templates and scripts go."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from caravan.config.load import read_configuration
from caravan.config.settings import Settings
from caravan.models.loaded_model import LoadedModel
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over

HERMES = """{% if tools %}{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{{ '<tool_call>' }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content or '' }}\
{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"""

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
SQL = {"type": "custom", "custom": {"name": "sql", "description": "Run SQL."}}


def hermes(name: str, arguments: str) -> str:
    """A call as the model writes it."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@contextmanager
def app_over(
    engine: ScriptedEngine,
    template: str = HERMES,
    *,
    model: LoadedModel | None = None,
    settings: Settings | None = None,
) -> Generator[TestClient, None, None]:
    """The app with one model, of this template."""
    registry = registry_over(model or loaded_model(engine, template=template))
    with TestClient(
        create_app(settings or read_configuration({}).settings, registry),
        raise_server_exceptions=False,
        base_url="http://localhost",
    ) as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client
