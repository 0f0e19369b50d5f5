"""Which wheel is kept, found again, tried and trusted."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from deploy.build import first_prompt, native, recipe, wheels
from deploy.build.recipe import Backend, UserOptions
from deploy.build.toolchain import BuildError
from deploy.build.wheels import Trial, WheelStore
from tests.deploy.fakes import make_toolchain, make_wheel


class TestStore:
    def test_keeps_and_shares(self, tmp_path: Path) -> None:
        store = WheelStore((tmp_path / "ours", tmp_path / "shared"))
        store.save("digest", make_wheel(tmp_path / "unchecked"))
        neighbour = WheelStore((tmp_path / "theirs", tmp_path / "shared"))
        assert neighbour.find("digest") is not None
        assert neighbour.find("another") is None
        neighbour.discard("digest")
        assert neighbour.find("digest") is None

    def test_a_changed_wheel_is_not_found(self, tmp_path: Path) -> None:
        store = WheelStore((tmp_path / "ours",))
        saved = store.save("digest", make_wheel(tmp_path / "unchecked"))
        saved.write_bytes(b"another wheel")
        assert store.find("digest") is None

    def test_a_wheel_that_was_never_checked_is_not_found(self, tmp_path: Path) -> None:
        make_wheel(tmp_path / "ours" / "digest")
        assert WheelStore((tmp_path / "ours",)).find("digest") is None

    def test_an_empty_variable_means_no_sharing(self, tmp_path: Path) -> None:
        assert wheels.open_store(tmp_path, {"LLAMA_WHEEL_CACHE": ""}).folders == (tmp_path / "wheels",)
        assert len(wheels.open_store(tmp_path, {"LLAMA_WHEEL_CACHE": "/shared"}).folders) == 2


class TestTrial:
    def test_a_library_that_kills_its_process(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("llama_cpp/__init__.py", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        problem = wheels.try_wheel(path, Backend.CPU).problem
        assert problem is not None
        assert "SIGSEGV" in problem

    @pytest.mark.parametrize(
        ("status", "output", "problem"),
        [
            (1, json.dumps({"error": "logits are off by 98.0%", "gpu": False}), "off by 98"),
            (1, "", "no result"),
            (-4, "", "SIGILL"),
            (0, json.dumps({"library": "/elsewhere/llama.py", "differences": {"Q4_0": 0.0}}), "/elsewhere"),
        ],
    )
    def test_what_is_not_trusted(self, tmp_path: Path, status: int, output: str, problem: str) -> None:
        judged = wheels.judge(status, output, "", tmp_path)
        assert judged.problem is not None
        assert problem in judged.problem

    def test_what_is_trusted(self, tmp_path: Path) -> None:
        report = {"library": str(tmp_path / "llama_cpp.py"), "differences": {"Q4_0": 0.01, "Q8_0": 0.02}}
        judged = wheels.judge(0, json.dumps(report), "", tmp_path)
        assert judged == Trial(None, "logits agree within 2.0% on Q4_0, Q8_0")

    def test_logits_that_are_no_numbers_differ(self) -> None:
        ones = np.ones((2, 4), np.float32)
        assert first_prompt.compare(ones, ones) == 0.0
        assert first_prompt.compare(ones * np.float32(np.nan), ones) == float("inf")


@dataclasses.dataclass
class Workshop:
    """Stands for compiler and trial: notes the flags of what was compiled, passes only those in `good`."""

    folder: Path
    good: set[tuple[str, ...]]
    compiled: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    only_gpu: bool = False

    def compile(self, _plan: native.Plan, flags: tuple[str, ...]) -> Path:
        self.compiled.append(flags)
        return make_wheel(self.folder)

    def try_wheel(self, _wheel: Path, _backend: Backend) -> Trial:
        problem = None if self.compiled[-1] in self.good else "it died of SIGSEGV"
        return Trial(problem, only_gpu=self.only_gpu)


class TestBuild:
    def run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: set[tuple[str, ...]]
    ) -> tuple[Workshop, WheelStore]:
        workshop = Workshop(tmp_path / "unchecked", good)
        monkeypatch.setattr(native, "_compile", workshop.compile)
        monkeypatch.setattr(native, "try_wheel", workshop.try_wheel)
        return workshop, WheelStore((tmp_path / "wheels",))

    def plan(self, tmp_path: Path, backend: Backend = Backend.CPU) -> native.Plan:
        """With a compiler that knows of AMX."""
        compilers = make_toolchain(tmp_path, 'echo "#define __AMX_TILE__ 1"')
        return native.Plan("1.0", backend, compilers, UserOptions(), "digest")

    def test_a_good_build_is_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, {()})
        native._build(self.plan(tmp_path), store)
        assert workshop.compiled == [()]
        assert store.find("digest") is not None

    def test_a_bad_build_is_made_again_without_amx(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, {recipe.WITHOUT_AMX})
        native._build(self.plan(tmp_path), store)
        assert workshop.compiled == [(), recipe.WITHOUT_AMX]

    @pytest.mark.parametrize("script", ["echo gcc", "exit 1"])
    def test_without_amx_there_is_nothing_to_leave_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
    ) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, set())
        plan = dataclasses.replace(self.plan(tmp_path), toolchain=make_toolchain(tmp_path, script))
        with pytest.raises(BuildError):
            native._build(plan, store)
        assert workshop.compiled == [()]

    def test_a_build_for_other_machines_keeps_amx(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, set())
        with pytest.raises(BuildError):
            native._build(self.plan(tmp_path, Backend.PORTABLE), store)
        assert workshop.compiled == [()]

    def test_amx_is_not_blamed_for_a_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, set())
        workshop.only_gpu = True
        with pytest.raises(BuildError):
            native._build(self.plan(tmp_path), store)
        assert workshop.compiled == [()]

    def test_two_bad_builds_leave_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _, store = self.run(tmp_path, monkeypatch, set())
        with pytest.raises(BuildError, match="SIGSEGV"):
            native._build(self.plan(tmp_path), store)
        assert store.find("digest") is None

    def test_a_kept_wheel_that_fails_is_dropped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workshop, store = self.run(tmp_path, monkeypatch, set())
        workshop.compiled.append(())
        store.save("digest", make_wheel(tmp_path / "unchecked"))
        assert native._reuse(self.plan(tmp_path), store) is None
        assert store.find("digest") is None
