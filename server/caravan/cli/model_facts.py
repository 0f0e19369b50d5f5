"""What `list` and `info` tell of a model, from its file's header alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from caravan.chat.template_summary import TemplateSummary
from caravan.config.settings import Settings
from caravan.llama.gguf_header import GgufHeader, HeaderError, read_header
from caravan.models.engine_config import engine_config, memory_budget
from caravan.models.file_facts import file_type
from caravan.models.local_models import quantization, stored_models
from caravan.models.projectors import projector_of
from caravan.models.resident import RESIDENT_ID, model_path
from caravan.models.templates import tried
from caravan.sizing.sizes import Sizes, resources, settle

_SAMPLING = "general.sampling."


@dataclass(frozen=True)
class ModelFacts:
    """A model's header, and the sizes that it would be served with."""

    name: str
    header: GgufHeader
    sizes: Sizes
    settings: Settings

    def tried_templates(self) -> TemplateSummary:
        """What the chat templates support; takes a moment. Raises TemplateSyntaxError and OSError."""
        return tried(self.header.path, self.settings.chat_template, self.settings.tool_format)

    @property
    def quantization(self) -> str:
        """How most weights are stored: by the file's own word, else by its name."""
        return file_type(self.header) or quantization(self.header.path)

    @property
    def template(self) -> str:
        """The chat template's text, empty where there is none."""
        return self.header.text("tokenizer.chat_template")

    @property
    def sampling(self) -> dict[str, str]:
        """Decoding values that the file recommends, under the file's names."""
        return {
            key.removeprefix(_SAMPLING): f"{value:.7g}" if isinstance(value, float) else str(value)
            for key, value in self.header.metadata.items()
            if key.startswith(_SAMPLING)
        }


def facts(
    name: str,
    path: Path,
    settings: Settings,
    draft_model: Path | None = None,
    workers: Iterable[str] = (),
) -> ModelFacts:
    """Read a file's header, and ask workers for their memory. Raises HeaderError, OSError, RpcError, and
    ProjectorError over `mmproj`.
    """
    header = read_header(path)
    found = projector_of(path, settings.mmproj)
    projector = None if found is None else found.path
    budget = memory_budget(settings)
    config = engine_config(path, settings, budget, draft_model, projector=projector)
    return ModelFacts(name, header, settle(config, header, resources(workers=workers)), settings)


def known_models(settings: Settings) -> tuple[list[ModelFacts], list[str]]:
    """All models that can be served by name, the resident one first, and a line for each broken file."""
    found, faults = [], []
    for name, path in [
        (RESIDENT_ID, model_path()),
        *((model.name, model.path) for model in stored_models(settings.data_dir)),
    ]:
        try:
            found.append(facts(name, path, settings.model_copy(update={"mmproj": None})))
        except (HeaderError, OSError) as error:
            faults.append(str(error))
    return found, faults
