"""What `list` and `info` tell of a model, from its file's header alone."""

from dataclasses import dataclass
from pathlib import Path

from caravan.chat.template_summary import TemplateSummary
from caravan.config.settings import Settings
from caravan.llama.gguf_header import GgufHeader, HeaderError, read_header
from caravan.models.engine_config import engine_config, memory_budget
from caravan.models.local_models import quantization, stored_models
from caravan.models.resident import RESIDENT_ID, model_path
from caravan.models.templates import tried
from caravan.sizing.sizes import Sizes, resources, settle

# llama.cpp's `llama_ftype`: how most of a file's weights are stored.
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
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
        number = self.header.metadata.get("general.file_type")
        known = _FILE_TYPES.get(number) if isinstance(number, int) else None
        return known or quantization(self.header.path)

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


def facts(name: str, path: Path, settings: Settings) -> ModelFacts:
    """Read a file's header. Raises HeaderError or OSError."""
    header = read_header(path)
    config = engine_config(path, settings, memory_budget(settings))
    return ModelFacts(name, header, settle(config, header, resources()), settings)


def known_models(settings: Settings) -> tuple[list[ModelFacts], list[str]]:
    """All models that can be served by name, the resident one first, and a line for each broken file."""
    found, faults = [], []
    for name, path in [
        (RESIDENT_ID, model_path()),
        *((model.name, model.path) for model in stored_models(settings.data_dir)),
    ]:
        try:
            found.append(facts(name, path, settings))
        except (HeaderError, OSError) as error:
            faults.append(str(error))
    return found, faults
