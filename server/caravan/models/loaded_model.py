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
from caravan.llama.model_file import FileChange
from caravan.media.values import MediaEncoder
from caravan.runtime.threads import FairLimiter
from caravan.sizing.sizes import Need

# Requests of one model that are read at the same time.
_MAX_THREADS = 8


class TextEngine(Protocol):
    """The engine as services see it; `caravan.engine.ipc.async_engine.AsyncEngine` is one."""

    async def start(self) -> None:
        """Bring the engine up."""

    async def opened(self) -> None:
        """Wait until it has read the model's file without harm; for ever, if `start` fails before."""

    async def close(self) -> None:
        """End it."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        """Outputs of all choices; closing the generator early aborts the request."""

    def end_thoughts(self, request_id: str, owner: str) -> bool | None:
        """Have a request begin to answer, if it is thinking; whether it may be controlled.

        None where its owner has no such request.
        """

    def check_room(self, owner: str, weight: float, num_choices: int) -> None:
        """Raise OverloadedError where so many choices would not be taken now."""

    def subscribe_blocks(
        self, listener: Callable[[Sequence[BlockEvent]], None], root: bytes = b""
    ) -> Callable[[], None]:
        """Tell `listener` which whole blocks can be reused, and what changes; returns what ends that."""

    @property
    def num_places(self) -> int:
        """Choices that it takes at once, running and waiting; valid after `start`."""

    def embed(self, request: EmbedRequest) -> AsyncGenerator[EmbedOutput, None]:
        """The vector of each input; closing the generator early aborts the request."""

    @property
    def max_running(self) -> int:
        """Choices that run at once; valid after `start`."""

    @property
    def traits(self) -> ModelTraits:
        """What the model can do; valid after `start`."""

    @property
    def is_ready(self) -> bool:
        """Whether a request sent now would be taken."""

    @property
    def is_outdated(self) -> bool:
        """Whether the model's file has changed so that only loading it anew helps."""

    @property
    def file_change(self) -> FileChange | None:
        """What has become of the model's file since it was loaded; None where nothing has."""

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have; valid after `start`."""

    @property
    def missing_adapters(self) -> Collection[str]:
        """Adapters that it could not load again."""

    @property
    def need(self) -> Need:
        """The memory that it may take by estimate; valid after `start`."""

    @property
    def num_restarts(self) -> int:
        """How often it was started anew after it had ended."""

    @property
    def pid(self) -> int | None:
        """Its process; None while there is none."""

    def stats(self) -> EngineStats:
        """Its books, as of its last word."""


class TextVocab(Protocol):
    """The tokenizer as services see it; `caravan.llama.vocab.Vocab` is one."""

    size: int

    @property
    def bos_id(self) -> int | None:
        """Beginning of text, if the vocabulary has it."""

    @property
    def end_of_generation_ids(self) -> frozenset[int]:
        """The tokens by which the model ends its turn or its text."""

    @property
    def marker_ids(self) -> frozenset[int]:
        """Tokens of ordinary text that look like control tokens, such as `<think>`."""

    @property
    def fill_ids(self) -> tuple[int, int, int] | None:
        """The tokens before a prefix, before a suffix and before what belongs between; None without them."""

    @property
    def file_ids(self) -> tuple[int | None, int | None]:
        """The tokens before a repository's name and before a file's, which models for gaps may have."""

    @property
    def eos_id(self) -> int | None:
        """End of text, if the vocabulary has it."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds to the text; empty for control tokens."""

    def raw_bytes(self, token_id: int) -> bytes:
        """The bytes of a token as people write it, control tokens included."""

    def token_text(self, token_id: int) -> str:
        """A token as people write it, control tokens included."""

    @property
    def longest_token(self) -> int:
        """The most bytes of text that one token stands for."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`; raises ValueError on text that no tokenizer should be given."""

    def token_array(self, text: str, *, add_special: bool, parse_special: bool) -> "array[int]":
        """The same for texts of any length, in little memory."""


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
