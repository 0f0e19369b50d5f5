"""What lists of models tell of a file."""

import os
from pathlib import Path

import pytest
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.models import file_facts, resident
from caravan.models.file_facts import FactsReader, FileFacts


def test_a_file_tells_of_itself_and_is_read_again_when_it_is_another(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(resident.model_path().read_bytes())
    reader = FactsReader(path)
    found = reader()
    assert found.architecture == "qwen3"
    assert found.quantization == "Q8_0"
    assert found.num_bytes == path.stat().st_size
    assert "<|im_start|>" in found.template
    assert found.can_generate
    assert (found.thinks, found.ranks) == (True, False)
    assert "tokenizer.chat_template" not in found.metadata
    assert reader() is found
    os.utime(path, ns=(1, 1))
    assert reader().digest != found.digest
    path.unlink()
    assert reader() == FileFacts()


def test_the_operators_template_is_the_one_that_is_shown(tmp_path: Path) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("own")
    own = FactsReader(resident.model_path(), template)()
    assert (own.template, own.thinks) == ("own", False)


def test_a_header_that_was_read_is_not_read_again_unless_the_file_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(resident.model_path().read_bytes())
    header = read_header(path)
    reads: list[Path] = []

    def reading(read: Path) -> GgufHeader:
        reads.append(read)
        return read_header(read)

    monkeypatch.setattr(file_facts, "read_header", reading)
    reader, late = (FactsReader(path, None, header) for _ in range(2))
    assert reader().architecture == "qwen3"
    assert not reads
    os.utime(path, ns=(1, 1))
    assert reader().digest == late().digest
    assert reads == [path, path]
