"""The chat templates of a model: where they are from, tried in processes of their own."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from caravan.chat.families import ModelFamily, recognise, with_shown_calls
from caravan.chat.rendering.client import TemplateProcess
from caravan.chat.rendering.prompt_template import CHATML, PromptTemplate
from caravan.chat.template_summary import TemplateSummary, summary
from caravan.config.model_settings import ModelSettings
from caravan.llama.gguf_header import read_header
from caravan.llama.model import Model
from caravan.llama.vocab import Vocab

log = logging.getLogger(__name__)

_KEY = "tokenizer.chat_template"


@dataclass(frozen=True)
class TemplateSources:
    """Templates as they are written, and the tokens that they may write. `tools` is one for requests with
    tools.
    """

    plain: str
    tools: str | None = None
    bos_token: str = ""
    eos_token: str = ""


@dataclass(frozen=True)
class Templates:
    """A model's templates, open, and what they tell of it."""

    plain: PromptTemplate
    tools: PromptTemplate | None
    family: ModelFamily

    @property
    def of_tools(self) -> PromptTemplate:
        """The template that shows tools."""
        return self.tools or self.plain

    @property
    def summary(self) -> TemplateSummary:
        """What the templates support."""
        return summary(self.plain.traits, self.of_tools.traits, self.family)

    def close(self) -> None:
        """End the processes."""
        self.plain.close()
        if self.tools is not None:
            self.tools.close()


def sources_of(settings: ModelSettings, model: Model) -> TemplateSources:
    """The operator's template, else the file's, else ChatML. Raises OSError."""
    vocab = model.vocab
    tokens = _token_text(vocab, vocab.bos_id), _token_text(vocab, vocab.eos_id)
    if settings.chat_template is not None:
        return TemplateSources(settings.chat_template.read_text(encoding="utf-8"), None, *tokens)
    plain = model.chat_template()
    if plain is None:
        log.warning("%s has no chat template; chats use ChatML, which the model may not know", model.path)
    return TemplateSources(plain or CHATML, model.chat_template("tool_use"), *tokens)


def open_templates(sources: TemplateSources, tool_format: str | None) -> Templates:
    """Try the templates of a model. Raises TemplateSyntaxError and OSError."""
    family = _family(sources, tool_format)
    plain = _opened(sources.plain, sources, family)
    try:
        tools = None if sources.tools is None else _opened(sources.tools, sources, family)
    except BaseException:
        plain.close()
        raise
    return Templates(plain, tools, with_shown_calls(family, tools or plain))


def tried(path: Path, chat_template: Path | None, tool_format: str | None) -> TemplateSummary:
    """What a model's templates support, from the header of its file and the settings that replace its own.

    Raises HeaderError, TemplateSyntaxError and OSError.
    """
    header = read_header(path)
    if chat_template is not None:
        sources = TemplateSources(chat_template.read_text(encoding="utf-8"))
    else:
        plain, tools = header.text(_KEY), header.text(f"{_KEY}.tool_use")
        sources = TemplateSources(plain or CHATML, tools or None)
    templates = open_templates(sources, tool_format)
    try:
        return templates.summary
    finally:
        templates.close()


def _family(sources: TemplateSources, tool_format: str | None) -> ModelFamily:
    family = recognise(sources.plain if sources.tools is None else sources.tools, tool_format)
    if family.reasoning is None and sources.tools is not None:
        family = replace(family, reasoning=recognise(sources.plain).reasoning)
    return family


def _opened(source: str, sources: TemplateSources, family: ModelFamily) -> TemplateProcess:
    return TemplateProcess(
        source,
        bos_token=sources.bos_token,
        eos_token=sources.eos_token,
        call_text=family.tools.call_text(),
    )


def _token_text(vocab: Vocab, token_id: int | None) -> str:
    return "" if token_id is None else vocab.token_text(token_id)
