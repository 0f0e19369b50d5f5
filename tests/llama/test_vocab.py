"""Texts that llama.cpp's tokenizers were not made for."""

import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from caravan.llama.model import Model
from caravan.llama.vocab import MARKER, MAX_SPECIAL, Vocab
from caravan.runtime.deep_stack import MAX_RUN, DeepStack, longest_run

from tests.conftest import TinyModels


@pytest.fixture(scope="module")
def vocab(tiny_models: TinyModels) -> Generator[Vocab, None, None]:
    model = Model(tiny_models["qwen2"], vocab_only=True)
    yield model.vocab
    model.close()


@pytest.mark.parametrize("piece", ["a", " ", "\n", "1", "!", "中", "é", "🎈", "\u0301", "\x00"])
def test_long_runs_are_read_as_they_are(vocab: Vocab, piece: str) -> None:
    text = piece * 30_000
    token_ids = vocab.tokenize(text, add_special=True, parse_special=True)
    assert b"".join(map(vocab.token_bytes, token_ids)) == text.encode()


def test_a_run_beyond_all_reason_is_refused(vocab: Vocab) -> None:
    with pytest.raises(ValueError, match=f"{MAX_RUN + 1} characters"):
        vocab.tokenize("a" * (MAX_RUN + 1), add_special=True, parse_special=True)


def test_masses_of_special_tokens_are_refused_where_they_are_special(vocab: Vocab) -> None:
    text = "<|im_end|>" * (MAX_SPECIAL + 1)
    with pytest.raises(ValueError, match="special tokens"):
        vocab.tokenize(text, add_special=True, parse_special=True)
    assert len(vocab.tokenize(text, add_special=True, parse_special=False)) > MAX_SPECIAL
    assert len(vocab.tokenize(text[10:], add_special=True, parse_special=True)) == MAX_SPECIAL


def test_longest_token(vocab: Vocab) -> None:
    assert vocab.longest_token == len("<|endoftext|>")


@pytest.mark.parametrize(
    ("text", "run"), [("", 0), ("ab cd!", 2), ("a1_é中 x", 5), ("a   b", 3), ("x-+*/y", 4), ("\n\t ", 3)]
)
def test_longest_run(text: str, run: int) -> None:
    assert longest_run(text) == run


def test_a_deep_stack_holds_a_deep_recursion() -> None:
    """Python's own recursion in C is as hungry as that of a regular expression; too shallow a stack would end
    the process, so it runs in one of its own."""
    code = (
        "import sys; from caravan.runtime.deep_stack import DeepStack\n"
        "sys.setrecursionlimit(10 ** 6)\n"
        "def nested(depth): return depth and 1 + max([depth - 1], key=lambda d: nested(d)) * 0 + depth\n"
        "print(DeepStack().call(lambda: nested(20_000), 300_000))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout == "20001\n", ended.stderr[-500:]


def test_a_deep_call_passes_failures_on_and_leaves_other_threads_alone() -> None:
    before = threading.stack_size()

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        DeepStack().call(fail, 10)
    assert threading.stack_size() == before


def test_several_deep_stacks_leave_the_size_of_others_as_it_was() -> None:
    before = threading.stack_size()
    threads = [
        threading.Thread(target=lambda: [DeepStack().call(lambda: None, 5000) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert threading.stack_size() == before


def test_deep_calls_take_turns() -> None:
    stack = DeepStack()
    inside: list[int] = []
    most = []

    def work() -> None:
        inside.append(1)
        time.sleep(0.01)
        most.append(len(inside))
        inside.pop()

    threads = [threading.Thread(target=lambda: stack.call(work, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_a_tokenizer_that_recurses_survives_a_long_word(tiny_models: TinyModels, tmp_path: Path) -> None:
    """BLOOM's way of splitting goes through the C++ library's regular expressions, which recurse."""
    data = bytearray(tiny_models["qwen2"].read_bytes())
    place = data.index(b"qwen2", data.index(b"tokenizer.ggml.pre"))
    data[place : place + 5] = b"bloom"
    path = tmp_path / "bloom.gguf"
    path.write_bytes(data)
    model = Model(path, vocab_only=True)
    for piece in ("a", "!", " ", "1"):
        token_ids = model.vocab.tokenize(piece * 200_000, add_special=True, parse_special=True)
        assert len(b"".join(map(model.vocab.token_bytes, token_ids))) == 200_000
    model.close()


@pytest.mark.parametrize("text", ["name", " the name", '": {"', "\n", "é日本🙂"])
def test_text_within_text_is_spelled_without_a_space_in_front(tiny_models: TinyModels, text: str) -> None:
    for architecture in ("qwen2", "llama"):
        model = Model(tiny_models[architecture], vocab_only=True)
        token_ids = model.vocab.spell(text)
        assert b"".join(map(model.vocab.token_bytes, token_ids)) == text.encode()
        model.close()


def test_raw_bytes_write_control_tokens_out(vocab: Vocab) -> None:
    (end, *_) = vocab.tokenize("<|im_end|>", add_special=False, parse_special=True)
    assert (vocab.token_bytes(end), vocab.raw_bytes(end)) == (b"", b"<|im_end|>")
    assert vocab.raw_bytes(65) == vocab.token_bytes(65) != b""


@pytest.mark.parametrize("text", ["<think>", "<｜Assistant｜>", "｜DSML｜"])
def test_what_looks_like_a_control_token(text: str) -> None:
    assert MARKER.fullmatch(text.encode())
    assert not MARKER.fullmatch(text[:-1].encode())
    assert not MARKER.fullmatch(text.encode() + b" ")
