"""A GGUF under llama.cpp, asked through the template it carries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
from jinja2 import Template

from deploy.resident.data.samples import Message, user
from deploy.resident.render import template_of


@dataclass(frozen=True)
class ParsedChoice:
    """What the model wrote, and whether it stopped by itself."""

    text: str
    stopped: bool


class Runner:
    """One model; every reply starts from an empty context."""

    def __init__(self, path: Path, threads: int) -> None:
        self.llama = llama_cpp.Llama(
            str(path), n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self.template: Template = template_of(self.llama.metadata["tokenizer.chat_template"])
        self.replies: list[ParsedChoice] = []

    def complete(
        self, prompt: str, temperature: float = 0.0, seed: int = 1, limit: int = 300
    ) -> ParsedChoice:
        """The reply to a rendered prompt."""
        tokens = self.llama.tokenize(prompt.encode(), add_bos=False, special=True)
        self.llama.reset()
        self.llama.set_seed(seed)
        vocab = llama_cpp.llama_model_get_vocab(self.llama.model)
        written: list[int] = []
        for token in self.llama.generate(
            tokens, temp=temperature, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0
        ):
            if llama_cpp.llama_vocab_is_eog(vocab, token) or len(written) == limit:
                break
            written.append(token)
        text = self.llama.detokenize(written, special=True).decode(errors="replace")
        reply = ParsedChoice(text, len(written) < limit)
        self.replies.append(reply)
        return reply

    def prompt(
        self, messages: list[Message], tools: list[dict[str, Any]] | None = None, *, thinking: bool = False
    ) -> str:
        return self.template.render(
            messages=messages, tools=tools, add_generation_prompt=True, enable_thinking=thinking
        )

    def ask(self, question: str, *, thinking: bool = False) -> str:
        """The answer at temperature 0."""
        return self.complete(self.prompt([user(question)], thinking=thinking)).text

    def tokenize(self, text: str) -> list[int]:
        return list(self.llama.tokenize(text.encode(), add_bos=False, special=True))
