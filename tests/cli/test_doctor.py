"""What `caravan doctor` finds."""

import asyncio
from pathlib import Path

import pytest
from caravan.auth import keys_file
from caravan.cli import doctor_checks
from caravan.cli.finding import Finding, Verdict
from caravan.cli.projector_check import projector
from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.models import model_specs
from caravan.sizing.gpu_placement import Placement
from caravan.sizing.memory_estimate import MemoryEstimate
from caravan.sizing.sizes import Sizes

from tests.cli.calling import call
from tests.conftest import TinyModels
from tests.tiny_projector import write_tiny_pair, write_tiny_projector


def verdicts(*findings: Finding) -> list[Verdict]:
    return [finding.verdict for finding in findings]


def test_a_build_that_leaves_the_processor_idle() -> None:
    info = "CPU : SSE3 = 1 | AVX2 = 1 | AVX512 = 0 | AMX_INT8 = 1 | "
    assert verdicts(*doctor_checks.processor(info, frozenset({"avx2", "amx_int8"}))) == [Verdict.FINE]
    found = list(doctor_checks.processor(info, frozenset({"avx2", "avx512f"})))
    assert verdicts(*found) == [Verdict.ADVICE, Verdict.FINE]
    assert "AVX512" in found[0].detail
    found = list(doctor_checks.processor("CPU : SSE3 = 1 | ", frozenset({"avx2"})))
    assert verdicts(*found) == [Verdict.FAULT, Verdict.FINE]


def test_sizes_that_the_machine_does_not_have() -> None:
    assert verdicts(doctor_checks.threads(0, 2), doctor_checks.threads(2, 2)) == [Verdict.FINE] * 2
    assert doctor_checks.threads(3, 2).remedy == "set --threads 2, or 0"
    memory = MemoryEstimate(weights=1, cells=1, compute=0, vectors=9)
    placement = Placement(num_layers=2, num_all=3, taken=(5, 6))
    sizes = Sizes(
        config=EngineConfig(model_path=""),
        memory=memory,
        at_start=2,
        placement=placement,
        reason="as set",
        shortages=("fewer",),
    )
    found = [
        *doctor_checks.layers(sizes, (5, 6)),
        *doctor_checks.layers(sizes, (6, 5)),
        *doctor_checks.layers(sizes, ()),
    ]
    assert verdicts(*found) == [Verdict.FINE, Verdict.FAULT]
    assert found[0].detail == "2 of 3 layers take 5 B + 6 B of 5 B + 6 B"
    assert verdicts(doctor_checks.memory(sizes, 2, 3), doctor_checks.memory(sizes, 1, 3)) == [
        Verdict.FINE,
        Verdict.FAULT,
    ]
    assert verdicts(*doctor_checks.sequences(sizes)) == [Verdict.FINE, Verdict.ADVICE]
    assert verdicts(doctor_checks.gpu(False, True), doctor_checks.gpu(True, True)) == [
        Verdict.ADVICE,
        Verdict.FINE,
    ]


def test_options_of_llama_cpp_that_were_set() -> None:
    assert doctor_checks.threads(9, 2, "--threads-batch").remedy == "set --threads-batch 2, or 0"
    config = EngineConfig(
        model_path="",
        num_cells=8192,
        context=ContextOptions(cache_type_k="q8_0"),
        weights=WeightOptions(load_mode="mmap+mlock"),
    )
    memory = MemoryEstimate(weights=9 << 20, cells=2 << 20, compute=0)
    sizes = Sizes(config=config, memory=memory, at_start=0, reason="as set")
    cells, lock = doctor_checks.llama_options(sizes, 8 << 20)
    assert cells.detail == "keys q8_0, values f16: 2.1 MB for 8192 tokens"
    assert (lock.verdict, lock.remedy) == (Verdict.ADVICE, "raise the limit: `ulimit -l unlimited`")
    assert lock.detail == "8.39 MB may be locked, and weights are 9.44 MB"
    assert verdicts(*doctor_checks.llama_options(sizes, 9 << 20)) == [Verdict.FINE]
    assert verdicts(*doctor_checks.llama_options(sizes, None)) == [Verdict.FINE]


def test_keys_that_are_missing_or_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    inside, outside = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path, host="0.0.0.0")
    assert verdicts(doctor_checks.keys(inside), doctor_checks.keys(outside)) == [Verdict.FINE, Verdict.FAULT]
    keys_file.add(file, name="alice")
    assert doctor_checks.keys(outside) == doctor_checks.keys(inside)
    assert doctor_checks.keys(inside).detail.startswith("on; there is one")
    file.write_text("{")
    assert verdicts(doctor_checks.keys(inside)) == [Verdict.FAULT]
    file.unlink()
    assert verdicts(doctor_checks.keys(inside)) == [Verdict.FAULT]
    assert doctor_checks.keys(inside).detail.startswith("there are no keys in")


def test_an_engine_that_cannot_start(tiny_models: TinyModels, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_models["qwen2"].read_bytes()[:-1000])
    finding = asyncio.run(doctor_checks.first_prompt(AsyncEngine(EngineConfig(model_path=str(cut)))))
    assert finding.verdict is Verdict.FAULT
    assert finding.remedy


@pytest.mark.usefixtures("impatient_templates")
def test_a_template_that_is_guessed_or_broken(tiny_models: TinyModels, tmp_path: Path) -> None:
    file = tmp_path / "chat.jinja"
    expected = {
        "{{ tools | tojson }}{{ messages | tojson }}": [Verdict.FINE, Verdict.ADVICE],
        "{{ messages | tojson }}": [Verdict.FINE],
        "{% if %}": [Verdict.FAULT],
        "{{ 9 ** (9 ** 9) }}": [Verdict.FAULT],
    }
    for source, found in expected.items():
        file.write_text(source)
        (spec,) = model_specs(Settings(model=tiny_models["qwen2"], chat_template=file))
        assert verdicts(*doctor_checks.templates(spec)) == found


def test_a_sound_machine(tiny_models: TinyModels, capsys: pytest.CaptureFixture[str]) -> None:
    call("doctor", "--model", str(tiny_models["qwen2"]), "--port", "0")
    shown = capsys.readouterr().out
    assert "ok    first prompt: computed" in shown
    assert "ok    memory: " in shown


def test_what_is_to_be_mended_is_in_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    call("doctor", "--model", "/none.gguf", "--threads", "500", code=1)
    shown = capsys.readouterr()
    assert "bad   threads: 500 asked for" in shown.out
    assert "bad   model: no such file: /none.gguf" in shown.out
    assert shown.err == "caravan: 2 to be mended\n"


def test_a_projector_that_fits_and_one_that_does_not(tmp_path: Path) -> None:
    model, projector_path = write_tiny_pair(tmp_path, "llava")

    def found(named: Path | None = None) -> Finding:
        (spec,) = model_specs(Settings(model=model, mmproj=named))
        assert spec.start_encoder is not None
        return asyncio.run(projector(spec.start_encoder))

    assert found().verdict is Verdict.FINE
    assert "the model sees" in found().detail
    write_tiny_projector(projector_path, "llava", embed=96)
    assert found().verdict is Verdict.ADVICE
    assert found(projector_path).verdict is Verdict.FAULT
