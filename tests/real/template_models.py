"""The real chat templates as models: what the server makes of requests, without weights."""

import functools
from pathlib import Path

from caravan.api.prompt.chat_prompt import rendered
from caravan.auth.principal import ANONYMOUS
from caravan.chat.families import recognise
from caravan.chat.rendering.local import LocalTemplate
from caravan.models.loaded_model import LoadedModel
from caravan_schemas.chat import ConversationFields

from tests.fakes_web import FakeVocab, ScriptedEngine
from tests.real.materials import TEMPLATES

BOS, EOS = "<BOS>", "<EOS>"


def names() -> list[str]:
    """All templates."""
    return sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def source(name: str) -> str:
    """A template as it is written."""
    return Path(TEMPLATES, f"{name}.jinja").read_text(encoding="utf-8")


@functools.cache
def model(name: str) -> LoadedModel:
    """A model of this template; no two tests try it anew."""
    text = source(name)
    family = recognise(text)
    template = LocalTemplate(text, bos_token=BOS, eos_token=EOS, call_text=family.tools.call_text())
    return LoadedModel(
        id=name,
        vocab=FakeVocab(),
        template=template,
        family=family,
        engine=ScriptedEngine(),
        bos_text="",
        metadata={},
        fingerprint=name,
        close=template.close,
    )


def prompt(name: str, request: ConversationFields) -> str:
    """The prompt of a request, by the server's own way. Raises InvalidRequestError."""
    return rendered(request, model(name), ANONYMOUS)[0]
