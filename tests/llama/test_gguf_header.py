"""Headers of GGUF files, whole, split, cut off and damaged."""

import contextlib
import shutil
import struct
from pathlib import Path

import gguf
import pytest
from caravan.llama.gguf_header import HeaderError, model_stem, part_paths, read_header
from caravan.llama.model import Model
from caravan.models import resident
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import TinyModels
from tests.tiny_model import ARCHITECTURES


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "resident"])
def test_scalars_are_what_llama_cpp_reads(tiny_models: TinyModels, architecture: str) -> None:
    path = resident.model_path() if architecture == "resident" else tiny_models[architecture]
    header = read_header(path)
    model = Model(path, vocab_only=True)
    assert header.vocab_size == model.vocab.size
    assert header.training_context == int(model.metadata[f"{header.architecture}.context_length"])
    assert header.text("tokenizer.chat_template") == model.chat_template()
    integers = {key: value for key, value in header.metadata.items() if type(value) is int}
    assert integers
    assert {key: str(value) for key, value in integers.items()}.items() <= model.metadata.items()
    tensors = gguf.GGUFReader(path).tensors
    assert header.num_tensors == len(tensors)
    assert header.tensors.keys() == {tensor.name for tensor in tensors}
    for tensor in tensors:  # a tensor ends where the next one may begin
        assert tensor.n_bytes <= header.tensors[tensor.name] < tensor.n_bytes + 32
    model.close()


def test_a_split_model_is_one_whichever_part_is_named(tiny_models: TinyModels, tmp_path: Path) -> None:
    parts = [tmp_path / f"big-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        shutil.copy(tiny_models["qwen2"], part)
    assert [part_paths(part) for part in parts] == [parts] * 3
    assert {model_stem(part) for part in parts} == {"big"}
    headers = [read_header(part) for part in parts]
    assert headers[0] == headers[1] == headers[2]
    assert headers[0].file_size == 3 * parts[0].stat().st_size
    parts[1].unlink()
    with pytest.raises(HeaderError, match=r"1 of 3 parts are missing, big-00002-of-00003.gguf first"):
        read_header(parts[0])
    assert part_paths(Path("a-00004-of-00003.gguf")) == [Path("a-00004-of-00003.gguf")]


def test_a_file_cut_off_anywhere_in_its_header_is_refused(tiny_models: TinyModels, tmp_path: Path) -> None:
    whole = tiny_models["llama"].read_bytes()
    reader = gguf.GGUFReader(tiny_models["llama"])
    last = max(
        field.offset + sum(part.nbytes for part in field.parts) for field in (t.field for t in reader.tensors)
    )
    end = int(last)
    file = tmp_path / "cut.gguf"
    for size in [*range(0, end, 97), end - 1]:
        file.write_bytes(whole[:size])
        with pytest.raises(HeaderError, match=r"^[^\n]+$"):
            read_header(file)
    # The header is whole then, and says that weights are missing.
    file.write_bytes(whole[:end])
    with pytest.raises(HeaderError, match=r"it has \d+ bytes, and its tensor .token_embd"):
        read_header(file)


@given(st.data())
def test_damage_is_an_error_or_another_header(tiny_models: TinyModels, data: st.DataObject) -> None:
    whole = bytearray(tiny_models["llama"].read_bytes()[:2000])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 9))
        whole[place : place + 8] = data.draw(st.binary(min_size=8, max_size=8))
    file = tiny_models["llama"].with_name("damaged.gguf")
    file.write_bytes(whole)
    with contextlib.suppress(HeaderError):
        read_header(file)


def test_versions_and_other_files(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    for content, reason in (
        (b"", "cut off"),
        (b"hello, world", "not a GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "9223372036854775808 pairs"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**64 - 1), "18446744073709551615 bytes in a key"),
    ):
        file.write_bytes(content)
        with pytest.raises(HeaderError, match=reason):
            read_header(file)
    with pytest.raises(HeaderError, match="no such file"):
        read_header(tmp_path / "none.gguf")
