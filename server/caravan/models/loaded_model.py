"""A model that requests can use, and what the web side needs to know of its two halves."""

from array import array
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol

from caravan.chat.families import ModelFamily
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.template_summary import TemplateSummary, summary
from caravan.engine.block_events import BlockEvent
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits
from caravan.engine.outputs import EngineStats, TokenOutput
from caravan.engine.params import AdapterSet, GenerationRequest
from caravan.grammars.gbnf.tokens import TokenNames
from caravan.llama.model_file import FileChange
from caravan.media.values import MediaEncoder
from caravan.runtime.threads import FairLimiter
from caravan.sizing.sizes import Need

# Requests of one model that are read at the same time.
_MAX_THREADS = 8


class TextEngine(Protocol):
    """The engine as services see it, documented in `caravan.engine.ipc.async_engine.AsyncEngine`.

    What it tells of its model is valid after `start`.
    """

    async def start(self) -> None: ...
    async def opened(self) -> None:
        """Wait until it has read the model's file without harm; for ever, if `start` fails before."""

    async def close(self) -> None: ...
    def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]: ...
    def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]: ...
    def end_thoughts(self, request_id: str, owner: str) -> bool | None: ...
    def check_room(self, owner: str, weight: float, num_choices: int) -> None: ...
    def subscribe_blocks(
        self, listener: Callable[[Sequence[BlockEvent]], None], root: bytes = b""
    ) -> Callable[[], None]: ...
    def stats(self) -> EngineStats: ...

    @property
    def num_places(self) -> int: ...
    @property
    def max_running(self) -> int: ...
    @property
    def traits(self) -> ModelTraits: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def is_outdated(self) -> bool: ...
    @property
    def file_change(self) -> FileChange | None: ...
    @property
    def context_size(self) -> int: ...
    @property
    def missing_adapters(self) -> Collection[str]: ...
    @property
    def need(self) -> Need: ...
    @property
    def num_restarts(self) -> int: ...
    @property
    def pid(self) -> int | None: ...


class TextVocab(TokenNames, Protocol):
    """The tokenizer as services see it, documented in `caravan.llama.vocab.Vocab`."""

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def fill_ids(self) -> tuple[int, int, int] | None: ...
    @property
    def file_ids(self) -> tuple[int | None, int | None]: ...
    @property
    def longest_token(self) -> int: ...

    def raw_bytes(self, token_id: int) -> bytes: ...
    def token_array(self, text: str, *, add_special: bool, parse_special: bool) -> "array[int]": ...


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedModel:
    """One loaded model. `bos_text` is how its BOS token is written, empty where none is added.

    `operator_defaults` are decoding values of this model's own settings, as they were written. `fingerprint`
    is a digest of all that decides on its texts. `tool_template` is another one for requests with tools.
    Prompts that begin with one of the `public_prefixes` share it in memory, whoever sends them. Of two texts
    that are read as a pair, `separator_ids` stand between them, behind what ends the first anyway. `close`
    gives the memory of vocabulary and templates back, once nobody uses them and the engine has been closed.
    Requests are read in the model's own `threads`: those of others must not wait for a slow template. Those
    with long conversations are read in `long_threads`, one at a time. So are `explanations`, whose draws take
    milliseconds of every step. `encoder` reads images and sounds, where there is a projector. It has `names`,
    and `adapters`, each of which can be named in its place: then `lora` is that one. `variants` are the
    models that these names stand for.
    """

    id: str
    vocab: TextVocab
    template: PromptTemplate
    tool_template: PromptTemplate | None = None
    family: ModelFamily
    engine: TextEngine
    bos_text: str
    metadata: Mapping[str, str]
    operator_defaults: Mapping[str, object] = field(default_factory=dict)
    public_prefixes: tuple[tuple[int, ...], ...] = ()
    separator_ids: tuple[int, ...] = ()
    fingerprint: str
    names: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    lora: AdapterSet = ()
    variants: "dict[str, LoadedModel]" = field(default_factory=dict)
    encoder: MediaEncoder | None = None
    close: Callable[[], None]
    threads: FairLimiter = field(default_factory=partial(FairLimiter, _MAX_THREADS))
    long_threads: FairLimiter = field(default_factory=partial(FairLimiter, 1))
    explanations: FairLimiter = field(default_factory=partial(FairLimiter, 1))

    @property
    def name(self) -> str:
        """What it was asked for by: the name of an adapter, or its own."""
        return self.lora[0][0] if self.lora else self.id

    def with_adapter(self, name: str) -> "LoadedModel":
        """The model as it is by the name of one of its adapters, or itself by its own."""
        if name not in self.adapters:
            return self
        if name not in self.variants:
            self.variants[name] = replace(self, lora=((name, 1.0),))
        return self.variants[name]

    def template_for(self, *, has_tools: bool) -> PromptTemplate:
        """The template of requests with tools, or without."""
        return self.tool_template if has_tools and self.tool_template is not None else self.template

    @cached_property
    def marker_ids(self) -> dict[str, int]:
        """The markers of the family that are one token each, by their text."""
        found: dict[str, int] = {}
        for text in self.family.shown:
            token_ids = self.vocab.tokenize(text, add_special=False, parse_special=True)
            if len(token_ids) == 1:
                found[text] = token_ids[0]
        return found

    @cached_property
    def shown_token_ids(self) -> tuple[int, ...]:
        """Those of them that are control tokens, which have to be visible in what parsers read."""
        return tuple(i for i in self.marker_ids.values() if not self.vocab.token_bytes(i))

    @property
    def template_summary(self) -> TemplateSummary:
        """What the templates support."""
        with_tools = self.template_for(has_tools=True)
        return summary(self.template.traits, with_tools.traits, self.family)

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have, prompt and answer together."""
        return self.engine.context_size
