"""A model that can be loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from caravan.chat.template_summary import TemplateSummary
from caravan.models.loaded_model import LoadedModel, TextEngine
from caravan.sizing.sizes import Need


@dataclass(frozen=True)
class ContextLength:
    """Tokens of a prompt and its answer: as served here, and as trained with. None is unknown."""

    size: int | None = None
    trained: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What is known of a model that need not be loaded, and the two halves of loading it.

    `make_engine` makes an engine that has not started. `open` opens the file for the web side,
    `estimate_need` tells how much memory the model will take, and `read_metadata` what the file says
    of itself; of a file that cannot be read, nothing. `read_context` foresees how long texts may be, and
    `try_templates` what the chat templates support. `check_file` reads the file's header and raises
    HeaderError or OSError over it. These six take time and belong into a thread. Prompts that begin with one
    of `public_texts` share it in memory.
    """

    id: str
    aliases: tuple[str, ...] = ()
    created: int
    preload: bool = False
    pinned: bool = False
    operator_defaults: Mapping[str, object] = field(default_factory=dict)
    public_texts: tuple[str, ...] = ()
    estimate_need: Callable[[], Need]
    make_engine: Callable[[], TextEngine]
    open: Callable[[TextEngine], LoadedModel]
    read_metadata: Callable[[], Mapping[str, str]]
    read_context: Callable[[], ContextLength]
    try_templates: Callable[[], TemplateSummary]
    check_file: Callable[[], object] = lambda: None
