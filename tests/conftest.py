"""Fixtures that any test may ask for."""

import importlib.util
import inspect
import os
import signal
from collections.abc import Generator
from pathlib import Path

import gguf
import httpx
import llama_cpp
import pytest
import trustme
from caravan.chat.rendering.client import TemplateProcess
from caravan.runtime import gc_tuning
from caravan.runtime.machine import usable_cores

from tests.clock import Clock
from tests.tiny_model import write_tiny_model
from tests.waiting import PATIENCE

# Suites of their own, for which `make test-ray` installs Ray.
collect_ignore = [] if importlib.util.find_spec("ray") else ["ray"]

# A shell that starts a command in the background, or under nohup, has it and its children ignore these.
for ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        is_interrupt = ignored is signal.SIGINT
        signal.signal(ignored, signal.default_int_handler if is_interrupt else signal.SIG_DFL)

# Thousands of tests are millions of objects, and Python would look through them again and again.
gc_tuning.look_rarely()


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of all collections of garbage."""
    gc_tuning.keep()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are processors: many tests wait for others."""
    return usable_cores() + 1


class TinyModels:
    """Paths of tiny models, each written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, architecture: str) -> Path:
        return self.quantized(architecture, gguf.GGMLQuantizationType.F32)

    def quantized(self, architecture: str, kind: gguf.GGMLQuantizationType) -> Path:
        """The same weights with large matrices stored as `kind`."""
        path = self._folder / f"{architecture}-{kind.name}.gguf"
        if not path.exists():
            write_tiny_model(path, architecture, quantization=kind)
        return path


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """One file per architecture of `tests.tiny_model.ARCHITECTURES`, shared by the whole session."""
    return TinyModels(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session", autouse=True)
def _data_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the person who runs the tests has downloaded, and their keys, are none of the tests' business."""
    os.environ["CARAVAN_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session", autouse=True)
def _patient_and_quick_clients(tmp_path_factory: pytest.TempPathFactory) -> None:
    """httpx gives an answer 5 seconds, which a busy machine may need for any; it copies these defaults.

    And it reads the certificates of all authorities for each client, or call without one: 35 ms of a
    processor. One authority is enough.
    """
    defaults = inspect.signature(httpx.request).parameters["timeout"].default
    defaults.connect = defaults.read = defaults.write = defaults.pool = PATIENCE
    authorities = tmp_path_factory.mktemp("authorities") / "one.pem"
    trustme.CA().cert_pem.write_to_path(str(authorities))
    os.environ["SSL_CERT_FILE"] = str(authorities)


@pytest.fixture
def impatient_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template may take half a second of a processor, instead of five."""
    usual = TemplateProcess.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(TemplateProcess.__init__, "__kwdefaults__", {**usual, "seconds": 0.5})


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 0."""
    return Clock()


@pytest.fixture
def exact_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contexts made in the test keep float32 cells and add up without flash attention, which uses float16."""
    original = llama_cpp.llama_context_default_params

    def exact() -> "llama_cpp.llama_context_params":
        params = original()
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        return params

    monkeypatch.setattr(llama_cpp, "llama_context_default_params", exact)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports go from process to process as UTF-8, and some tests print what is none."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
