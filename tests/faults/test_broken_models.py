"""Damaged files among the models that are served: each costs its own requests one clear error."""

import struct
import subprocess
import sys
from pathlib import Path

import gguf
import httpx
import pytest

from tests import tiny_model
from tests.faults.bystanders import bystanders
from tests.faults.process import server_process
from tests.tiny_vocab import vocabulary_size
from tests.waiting import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


def _value_at(file: Path, key: str) -> int:
    """Where the value of a pair stands."""
    field = gguf.GGUFReader(file).fields[key]
    return int(field.offset) + 8 + len(key) + 4


def _damaged(tiny: Path, folder: Path) -> dict[str, str]:
    """Files by name, with what is told of each."""
    content = tiny.read_bytes()
    layers = _value_at(tiny, "qwen2.block_count")
    kind = layers - 4
    vocabulary = content.index(b"tokenizer.ggml.tokens")
    letter = content.index(struct.pack("<Q", 1) + b"b", vocabulary) + 8

    def patched(place: int, value: bytes) -> bytes:
        return content[:place] + value + content[place + len(value) :]

    damaged = {
        "huge": (patched(layers, struct.pack("<I", 2**32 - 1)), "'qwen2.block_count' is 4294967295"),
        "nan": (patched(kind, struct.pack("<If", 6, float("nan"))), "'qwen2.block_count' is nan"),
        "negative": (patched(kind, struct.pack("<Ii", 5, -1)), "'qwen2.block_count' is -1"),
        "cut": (content[: len(content) // 2], "the file is cut off or damaged"),
        "beginning": (content[:300], "the file is cut off or damaged"),
        "empty": (b"", "cut off"),
        # llama.cpp asserts that no two tokens are alike, which ends its process.
        "alike": (patched(letter, b"a"), ""),
    }
    told = {}
    for name, (broken, reason) in damaged.items():
        (folder / f"{name}.gguf").write_bytes(broken)
        told[name] = reason
    return told


def _write_with_few_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that loads and computes, over whose vocabulary llama.cpp ends the process that reads a text."""

    def add_vocabulary(writer: gguf.GGUFWriter) -> None:
        tokens = ["<unk>", "<s>", "</s>", "▁", *map(chr, range(ord("a"), ord("z") + 1))]
        tokens += [f"zz{number}" for number in range(vocabulary_size() - len(tokens))]
        special = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_types([*special, *[gguf.TokenType.NORMAL] * (len(tokens) - len(special))])
        writer.add_token_scores([-float(number) for number in range(len(tokens))])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)

    monkeypatch.setattr(tiny_model, "add_vocabulary", add_vocabulary)
    tiny_model.write_tiny_model(path, "qwen2")


def test_a_vocabulary_over_which_llama_cpp_dies_is_refused_when_it_is_loaded(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(tiny.read_bytes())
    _write_with_few_bytes(folder / "few.gguf", monkeypatch)
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "public.txt").write_text("abc 😀", encoding="utf-8")
    options = ("--models-dir", str(folder), "--context-size", "2048", "--threads", "1")
    prefixes = ("--public-prefixes", str(texts))
    with server_process(*options, *prefixes) as server:
        with bystanders(server.address, "tiny") as crowd:
            for path, field in (("/tokenize", "prompt"), ("/v1/completions", "prompt")):
                body = {"model": "few", field: "abc 😀", "max_tokens": 2}
                answer = httpx.post(f"{server.address}{path}", json=body, timeout=PATIENCE)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
            crowd.wait_for(2)
        crowd.seen.assert_unharmed()
        assert not server.has_ended


def test_each_is_told_in_one_line_and_the_others_are_served(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    told = _damaged(tiny, folder)
    (folder / "tiny.gguf").write_bytes(tiny.read_bytes())
    options = ("--models-dir", str(folder), "--context-size", "2048", "--threads", "1")
    with server_process(*options) as server:
        with bystanders(server.address, "tiny") as crowd:
            crowd.wait_for(2)
            for name, reason in told.items():
                body = {"model": name, "prompt": "Hi", "max_tokens": 2}
                answer = httpx.post(f"{server.address}/v1/completions", json=body, timeout=PATIENCE)
                if reason:
                    assert answer.status_code == 404
                    assert reason in server.output
                else:
                    assert answer.status_code == 503
                    assert answer.json()["error"]["code"] == "model_unavailable"
            crowd.wait_for(2)
        crowd.seen.assert_unharmed()
        assert not server.has_ended
        assert "Traceback" not in server.output


@pytest.mark.parametrize("command", ["info", "doctor", "serve"])
def test_every_command_tells_of_a_damaged_file_in_one_line(tiny: Path, tmp_path: Path, command: str) -> None:
    told = _damaged(tiny, tmp_path)
    for name, reason in told.items():
        if name not in ("nan", "alike"):
            continue
        named = [str(tmp_path / f"{name}.gguf")]
        words = named if command == "info" else ["--port", "0", "--model", *named]
        ended = subprocess.run(
            [sys.executable, "-m", "caravan", command, *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        shown = ended.stdout + ended.stderr
        assert "Traceback" not in shown
        assert reason in shown
        if name != "alike" or command != "info":
            assert ended.returncode == 1, shown
            assert sum(line.startswith("caravan: ") for line in shown.splitlines()) == 1, shown


def test_a_folder_of_pulled_models_is_listed_whatever_is_in_it(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models/org/repo"
    folder.mkdir(parents=True)
    told = _damaged(tiny, folder)
    ended = subprocess.run(
        [sys.executable, "-m", "caravan", "list", "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert "caravan-resident" in ended.stdout
    for name, reason in told.items():
        lines = [line for line in ended.stderr.splitlines() if f"/{name}.gguf" in line]
        assert len(lines) == bool(reason), lines
        assert all(reason in line for line in lines)
