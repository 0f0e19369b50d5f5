"""A model that requests can use, and what the web side needs to know of its two halves."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Protocol

from server.chat.template import ChatTemplate
from server.engine.outputs import TokenOutput
from server.engine.params import GenerationRequest


class TextEngine(Protocol):
    """The engine as services see it; `server.engine.client.AsyncEngine` is one."""

    async def start(self) -> None:
        """Bring the engine up."""

    async def close(self) -> None:
        """End it."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenOutput, None]:
        """Outputs of all choices; closing the generator early aborts the request."""

    @property
    def is_ready(self) -> bool:
        """Whether a request sent now would be taken."""

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have; valid after `start`."""


class TextVocab(Protocol):
    """The tokenizer as services see it; `server.llama.vocab.Vocab` is one."""

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

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds to the text; empty for control tokens."""

    def token_text(self, token_id: int) -> str:
        """A token as people write it, control tokens included."""

    @property
    def longest_token(self) -> int:
        """The most bytes of text that one token stands for."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`; raises ValueError on text that no tokenizer should be given."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """One served model. `bos_text` is how its BOS token is written, empty where none is added."""

    id: str
    aliases: tuple[str, ...] = ()
    created: int
    vocab: TextVocab
    template: ChatTemplate
    engine: TextEngine
    bos_text: str
    metadata: Mapping[str, str]

    @property
    def context_size(self) -> int:
        """Tokens that one sequence may have, prompt and answer together."""
        return self.engine.context_size
