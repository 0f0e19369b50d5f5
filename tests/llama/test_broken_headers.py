"""Hundreds of damaged GGUF files: each is another model or one clear line, and takes hardly any memory."""

import math
import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.llama.devices import Gpu
from caravan.llama.gguf_header import GgufHeader, HeaderError, read_header
from caravan.llama.gguf_reader import BLOCKS
from caravan.sizing.sizes import Resources, settle

from tests.conftest import TinyModels
from tests.tiny_model import ARCHITECTURES

_MACHINES = (
    Resources(memory=8 << 30, cores=2),
    Resources(memory=8 << 30, cores=2, gpus=(Gpu(free=4 << 30, total=4 << 30, is_shared=False),)),
)
_MAX_MEMORY = 48 << 20
_ALIGNMENT = 32
# Kinds of values as the format numbers them, and what may stand there.
_NUMBERS = [
    *((4, struct.pack("<I", value)) for value in (0, 1, 513, 2**31, 2**32 - 1)),
    *((5, struct.pack("<i", value)) for value in (-1, -(2**31))),
    *((6, struct.pack("<f", value)) for value in (math.nan, math.inf, -math.inf, 1.5, 3e38)),
    *((10, struct.pack("<Q", value)) for value in (2**40, 2**64 - 1)),
    *((11, struct.pack("<q", value)) for value in (-1, -(2**63))),
    *((12, struct.pack("<d", value)) for value in (math.nan, -math.inf, 1e308)),
    (7, b"\x01"),
    (8, struct.pack("<Q", 4) + b"four"),
    (9, struct.pack("<IQ", 6, 2) + struct.pack("<ff", math.nan, math.inf)),
    (9, struct.pack("<IQ", 5, 2) + struct.pack("<ii", -1, 7)),
    (9, struct.pack("<IQ", 4, 0)),
    (9, struct.pack("<IQ", 4, 2**60)),
    (9, struct.pack("<IQ", 8, 2**40)),
    (8, struct.pack("<Q", 2**63)),
]


class _Whole:
    """A sound file in pieces: what stands before the first pair, each pair, the list of tensors, the rest."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)
        content = path.read_bytes()
        fields = [field for key, field in reader.fields.items() if not key.startswith("GGUF.")]
        starts = [int(field.offset) for field in fields]
        end = min(int(tensor.field.offset) for tensor in reader.tensors)
        self.keys = [field.name for field in fields]
        self.kinds = [int(field.types[0]) for field in fields]
        self.head = content[: starts[0]]
        bounds = [*starts, end]
        self.pairs = [content[bounds[i] : bounds[i + 1]] for i in range(len(fields))]
        self.list = content[end : self._end_of_list(reader)]
        self.data = content[int(reader.data_offset) :]

    def with_value(self, index: int, kind: int, value: bytes) -> bytes:
        """The file with another value of pair number `index`."""
        key = self.keys[index].encode()
        pair = struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value
        content = self.head + b"".join([*self.pairs[:index], pair, *self.pairs[index + 1 :]]) + self.list
        return content + bytes(-len(content) % _ALIGNMENT) + self.data

    @staticmethod
    def _end_of_list(reader: gguf.GGUFReader) -> int:
        fields = [tensor.field for tensor in reader.tensors]
        return max(int(field.offset + sum(part.nbytes for part in field.parts)) for field in fields)


def _told(file: Path) -> GgufHeader | None:
    """What is computed from a header before anything is loaded; None where that is refused in one line."""
    try:
        header = read_header(file)
        for given in _MACHINES:
            settle(EngineConfig(model_path=str(file)), header, given)
    except HeaderError as error:
        told = str(error)
        assert told.startswith(f"{file}: ")
        assert len(told) < len(str(file)) + 300
        assert told.isprintable()
        return None
    return header


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """A test that holds no more at any time than a sound header takes."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < _MAX_MEMORY


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_number_of_a_header_may_be_damaged(
    tiny_models: TinyModels, tmp_path: Path, architecture: str
) -> None:
    whole = _Whole(tiny_models[architecture])
    file = tmp_path / "broken.gguf"
    draw = random.Random(0)
    num_refused = 0
    for index, kind in enumerate(whole.kinds):
        if kind == int(gguf.GGUFValueType.STRING):
            continue
        for damage in draw.sample(_NUMBERS, 10 if architecture == "qwen2" else 4):
            file.write_bytes(whole.with_value(index, *damage))
            num_refused += _told(file) is None
    assert num_refused > 20
    file.write_bytes(whole.with_value(0, 8, struct.pack("<Q", len(architecture)) + architecture.encode()))
    assert _told(file) is not None


@pytest.mark.usefixtures("bounded_memory")
def test_a_file_may_end_anywhere(tiny_models: TinyModels, tmp_path: Path) -> None:
    content = tiny_models["qwen2"].read_bytes()
    end_of_header = int(gguf.GGUFReader(tiny_models["qwen2"]).data_offset)
    file = tmp_path / "broken.gguf"
    sizes = [*range(0, end_of_header, 997), *range(end_of_header, len(content), 20_011), len(content) - 33]
    for size in sizes:
        file.write_bytes(content[:size])
        assert _told(file) is None, f"the first {size} bytes pass for all {len(content)}"
    file.write_bytes(content)
    assert _told(file) is not None


@pytest.mark.usefixtures("bounded_memory")
def test_any_bytes_may_be_others(tiny_models: TinyModels, tmp_path: Path) -> None:
    content = tiny_models["lfm2"].read_bytes()
    end_of_header = int(gguf.GGUFReader(tiny_models["lfm2"]).data_offset)
    draw = random.Random(1)
    file = tmp_path / "broken.gguf"
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 6)):
            # Most of a header is vocabulary; what counts stands at its beginning.
            place = draw.randrange(draw.choice([64, 1200, end_of_header]))
            damaged[place] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        file.write_bytes(damaged)
        _told(file)


def test_a_key_may_not_stand_there_twice(tiny_models: TinyModels, tmp_path: Path) -> None:
    whole = _Whole(tiny_models["llama"])
    twice = whole.head[:16] + struct.pack("<Q", len(whole.pairs) + 1)
    file = tmp_path / "broken.gguf"
    content = twice + b"".join([whole.pairs[0], *whole.pairs]) + whole.list
    file.write_bytes(content + bytes(-len(content) % _ALIGNMENT) + whole.data)
    with pytest.raises(HeaderError, match="stands there twice"):
        read_header(file)


def test_damaged_names_stay_on_one_line(tiny_models: TinyModels, tmp_path: Path) -> None:
    content = tiny_models["llama"].read_bytes().replace(b"llama.block_count", b"llama.bl\n\x1b[1m_coun")
    file = tmp_path / "broken.gguf"
    file.write_bytes(content.replace(b"llama.bl\n\x1b[1m_coun\x04", b"llama.bl\n\x1b[1m_coun\x63"))
    with pytest.raises(HeaderError, match=r"llama\.bl\\n\\x1b") as caught:
        read_header(file)
    assert str(caught.value).isprintable()


def test_sizes_of_types_are_those_of_the_format() -> None:
    known = {int(kind): (int(block), int(size)) for kind, (block, size) in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: known[kind] for kind in BLOCKS if kind in known} == {
        kind: sizes for kind, sizes in BLOCKS.items() if kind in known
    }
    assert len(BLOCKS.keys() & known.keys()) > 25
