"""The shipped model is small, whole, and carries the tokens and the template that serving needs."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import llama_cpp
import pytest
from caravan.models.resident import model_path
from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def llama() -> Iterator[llama_cpp.Llama]:
    model = llama_cpp.Llama(str(model_path()), vocab_only=True, verbose=False)
    yield model
    model.close()


def _raise(message: str) -> None:
    raise ValueError(message)


@cache
def _template(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


def _render(llama: llama_cpp.Llama, messages: list[dict[str, Any]], **variables: object) -> str:
    template = _template(llama.metadata["tokenizer.chat_template"])
    return template.render(messages=messages, add_generation_prompt=True, **variables)


def test_the_file_is_small() -> None:
    assert 1_000_000 < model_path().stat().st_size <= 8_000_000


def test_metadata(llama: llama_cpp.Llama) -> None:
    assert llama.metadata["general.architecture"] == "qwen3"
    assert llama.metadata["qwen3.context_length"] == "2048"
    assert llama.metadata["tokenizer.ggml.pre"] == "qwen2"
    assert "smoke and teaching model" in llama.metadata["general.description"]


@pytest.mark.parametrize("text", ["<|im_end|>", "<|endoftext|>"])
def test_both_ends_end_generation(llama: llama_cpp.Llama, text: str) -> None:
    (token,) = llama.tokenize(text.encode(), add_bos=False, special=True)
    assert llama_cpp.llama_vocab_is_eog(llama_cpp.llama_model_get_vocab(llama.model), token)


@pytest.mark.parametrize("text", ["<think>", "</think>", "<tool_call>", "</tool_call>"])
def test_markers_are_single_tokens_that_can_be_seen(llama: llama_cpp.Llama, text: str) -> None:
    (token,) = llama.tokenize(text.encode(), add_bos=False, special=True)
    assert llama.detokenize([token]) == text.encode()


def test_special_ids(llama: llama_cpp.Llama) -> None:
    vocab = llama_cpp.llama_model_get_vocab(llama.model)
    ids = {text: llama.tokenize(text.encode(), special=True, add_bos=False) for text in
           ("<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>")}  # fmt: skip
    assert ids["<|im_end|>"] == [llama_cpp.llama_vocab_eos(vocab)] == [llama_cpp.llama_vocab_eot(vocab)]
    assert ids["<|fim_prefix|>"] == [llama_cpp.llama_vocab_fim_pre(vocab)]
    assert ids["<|fim_suffix|>"] == [llama_cpp.llama_vocab_fim_suf(vocab)]
    assert ids["<|fim_middle|>"] == [llama_cpp.llama_vocab_fim_mid(vocab)]
    assert ids["<|endoftext|>"] == [llama_cpp.llama_vocab_pad(vocab)]
    assert not llama_cpp.llama_vocab_get_add_bos(vocab)


@pytest.mark.parametrize(
    "text", ["Hello, world!", "  two  spaces\n\n\tand\r\n", "Grüße 日本語 🙂 ½", "3.14 + 15"]
)
def test_any_text_survives(llama: llama_cpp.Llama, text: str) -> None:
    assert llama.detokenize(llama.tokenize(text.encode(), add_bos=False)).decode() == text


def test_thinking_is_off_unless_asked_for(llama: llama_cpp.Llama) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    asked = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert _render(llama, messages) == asked + "<think>\n\n</think>\n\n"
    assert _render(llama, messages, enable_thinking=True) == asked


@pytest.mark.parametrize("arguments", ['{"city": "Zürich"}', {"city": "Zürich"}])
def test_tools_and_their_results(llama: llama_cpp.Llama, arguments: str | dict[str, str]) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "2", "content": "rainy"},
    ]  # fmt: skip
    text = _render(llama, messages, tools=[WEATHER])
    assert "get_weather(city: string, unit?: celsius|fahrenheit) Get the weather of a city.\n</tools>" in text
    assert (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich"}}\n</tool_call><|im_end|>'
        in text
    )
    results = "\n<tool_response>\nsunny\n</tool_response>\n<tool_response>\nrainy\n</tool_response>"
    assert f"<|im_start|>user{results}<|im_end|>" in text


def test_history_repeats_what_was_generated(llama: llama_cpp.Llama) -> None:
    """A finished turn renders as it was written, so a cached prefix stays valid."""
    messages = [{"role": "user", "content": "Hi"}]
    first = _render(llama, messages)
    turns = [*messages, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]
    assert _render(llama, turns).startswith(first + "Hello!<|im_end|>\n")


def test_an_unknown_role_is_refused(llama: llama_cpp.Llama) -> None:
    with pytest.raises(ValueError, match="Unknown role: robot"):
        _render(llama, [{"role": "robot", "content": "Beep"}])


def test_the_documented_questions() -> None:
    entries = json.loads(model_path().with_name("questions.json").read_text(encoding="utf-8"))
    assert len(entries) >= 60
    assert len({entry["question"] for entry in entries}) == len(entries)
    assert all(entry.keys() == {"question", "answer"} for entry in entries)
