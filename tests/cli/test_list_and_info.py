"""What is told of models without loading them."""

import shutil
from pathlib import Path

import gguf
import pytest
from caravan.cli.commands import info
from caravan.config.engine_config import EngineConfig
from caravan.llama.devices import Gpu
from caravan.sizing.sizes import Resources, settle

from tests.cli.calling import call
from tests.conftest import TinyModels
from tests.sizing.test_sizes import LAYERED


@pytest.fixture
def data_dir(tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with one pulled model and one broken file."""
    folder = tmp_path / "models/org/tiny-GGUF"
    folder.mkdir(parents=True)
    shutil.copy(tiny_models.quantized("qwen2", gguf.GGMLQuantizationType.Q8_0), folder / "tiny-Q8_0.gguf")
    (folder / "broken-Q4_0.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("CARAVAN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.usefixtures("data_dir")
def test_list_has_all_models_and_names_broken_files(capsys: pytest.CaptureFixture[str]) -> None:
    call("list")
    shown = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert rows["caravan-resident"][:2] == ["qwen3", "Q8_0"]
    assert rows["org/tiny-GGUF:Q8_0"][:3] == ["qwen2", "Q8_0", "2048"]
    assert "broken-Q4_0.gguf" in shown.err


def test_info_takes_a_name_or_a_file(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("info", "org/tiny-GGUF:q8_0")
    named = capsys.readouterr().out
    call("info", str(data_dir / "models/org/tiny-GGUF/tiny-Q8_0.gguf"))
    assert capsys.readouterr().out.splitlines()[1:] == named.splitlines()[1:]
    assert "2048 tokens of context" in named


def test_info_tells_memory_for_a_context(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for size in ("8192", "65536"):
        call("info", "--context-size", size)
        shown.append(capsys.readouterr().out)
    assert "for 65536 tokens of context" in shown[1]
    cells = [next(line for line in text.splitlines() if "cache: " in line).split() for text in shown]
    assert float(cells[1][0]) == pytest.approx(8 * float(cells[0][0]), rel=0.01)


def test_info_prints_the_template_alone(capsys: pytest.CaptureFixture[str]) -> None:
    call("info", "--template")
    assert capsys.readouterr().out.startswith("{%")


def test_recommendations_are_shown_as_people_write_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = gguf.GGUFWriter(tmp_path / "advice.gguf", "llama")
    writer.add_float32("general.sampling.temp", 0.6)
    writer.add_int32("general.sampling.top_k", 20)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    call("info", str(tmp_path / "advice.gguf"))
    assert "temp 0.6, top_k 20" in capsys.readouterr().out


def test_what_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.gguf").write_text("hello")
    for name in ("org/none", str(tmp_path / "no.gguf"), str(tmp_path)):
        call("info", name, code=1)
        shown = capsys.readouterr()
        assert (shown.out, shown.err.count("\n")) == ("", 1)
        assert shown.err.startswith("caravan: ")


def test_info_tells_of_layers_on_gpus() -> None:
    gpu = Gpu(free=6 << 30, total=6 << 30)
    given = Resources(memory=64 << 30, cores=2, gpus=(gpu,))
    sizes = settle(EngineConfig(model_path="", num_cells=8192), LAYERED, given)
    rows = dict(info._size_rows(sizes))
    assert 0 < sizes.config.num_gpu_layers < 33
    assert rows["on GPUs"].startswith(f"{sizes.config.num_gpu_layers} of 33 layers, ")
    assert rows["less"].startswith(f"{sizes.config.num_gpu_layers} of 33 layers on GPUs")


def test_info_shows_the_memory_with_other_cells(capsys: pytest.CaptureFixture[str]) -> None:
    def cache(*flags: str) -> tuple[float, str]:
        call("info", *flags)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if " cache: " in line]
        size, _, told = line.strip().partition(" MB cache: 8192 tokens in memory")
        return float(size), told

    usual, nothing = cache()
    smaller, told = cache("--cache-type-k", "q8_0", "--cache-type-v", "q4_0")
    assert (nothing, told) == ("", "; keys q8_0, values q4_0")
    assert smaller < 0.7 * usual
    call("info", "--cache-type-k", "q9_0", code=2)


def test_info_tells_what_the_template_supports(
    tiny_models: TinyModels, capsys: pytest.CaptureFixture[str]
) -> None:
    call("info")
    resident = capsys.readouterr().out
    assert "as hermes" in resident
    assert "guess" not in resident
    call("info", str(tiny_models["qwen2"]))
    chatml = capsys.readouterr().out
    assert "as generic" in chatml
    assert "guess" not in chatml
    assert "a general prompt tells of tools" in chatml
