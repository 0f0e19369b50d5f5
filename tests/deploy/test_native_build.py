"""What the native build finds out, which options it takes, under which digest the result is kept."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.build import amx, compiler, native, recipe, trial
from deploy.build.amx import Amx
from deploy.build.compiler import Compiler
from deploy.build.errors import BuildError
from deploy.build.progress import Progress, Step, parse_step
from deploy.build.recipe import Backend, UserOptions
from tests.deploy.fakes import make_toolchain

NO_OPTIONS = UserOptions()


class TestDigest:
    def test_names_everything_that_changes_the_machine_code(self, tmp_path: Path) -> None:
        old = make_toolchain(tmp_path, "echo gcc 12.2.0")
        base = recipe.digest("1.0", Backend.CPU, old, NO_OPTIONS)
        (tmp_path / "new").mkdir()
        new = make_toolchain(tmp_path / "new", "echo gcc 14.1.0")
        others = [
            recipe.digest("1.1", Backend.CPU, old, NO_OPTIONS),
            recipe.digest("1.0", Backend.CUDA, old, NO_OPTIONS),
            recipe.digest("1.0", Backend.CPU, new, NO_OPTIONS),
            recipe.digest("1.0", Backend.CPU, old, UserOptions(cmake=("-DGGML_BLAS=ON",))),
            recipe.digest("1.0", Backend.CPU, old, UserOptions(c_flags=("-O1",))),
            recipe.digest("1.0", Backend.CPU, old, NO_OPTIONS, "nvcc 13"),
        ]
        assert len({base, *others}) == 7

    def test_names_the_processor(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        toolchain = make_toolchain(tmp_path, "echo gcc")
        here = recipe.digest("1.0", Backend.CPU, toolchain, NO_OPTIONS)
        monkeypatch.setattr(compiler, "cpu_features", lambda: "sse2")
        assert recipe.digest("1.0", Backend.CPU, toolchain, NO_OPTIONS) != here

    def test_is_the_same_for_the_same(self, tmp_path: Path) -> None:
        toolchain = make_toolchain(tmp_path, "echo gcc")
        digests = {recipe.digest("1.0", Backend.CPU, toolchain, NO_OPTIONS) for _ in range(2)}
        assert len(digests) == 1


class TestOptions:
    def test_the_users_flags_are_kept_apart(self) -> None:
        options = recipe.user_options(
            {"CFLAGS": "-g", "CMAKE_ARGS": "-DGGML_BLAS=ON -D CMAKE_CXX_FLAGS:STRING='-O1 -g' -GNinja"}
        )
        assert options == UserOptions(("-DGGML_BLAS=ON", "-GNinja"), ("-g",), ("-O1", "-g"))

    @pytest.mark.parametrize("verdict", [Amx.UNUSED, Amx.WORKS])
    def test_nothing_is_added_where_nothing_is_wrong(self, verdict: Amx) -> None:
        arguments = recipe.cmake_arguments(Backend.CPU, verdict, NO_OPTIONS)
        assert not [argument for argument in arguments if "_FLAGS" in argument]
        assert "-DGGML_NATIVE=ON" in arguments

    def test_repair_and_refusal_join_the_users_flags(self) -> None:
        user = UserOptions(cxx_flags=("-g",))
        repaired = recipe.cmake_arguments(Backend.CPU, Amx.REPAIRED, user)
        assert f"-DCMAKE_C_FLAGS=-include {amx.REPAIR_HEADER}" in repaired
        assert f"-DCMAKE_CXX_FLAGS=-g -include {amx.REPAIR_HEADER}" in repaired
        off = recipe.cmake_arguments(Backend.CPU, Amx.OFF, user)
        assert "-DCMAKE_CXX_FLAGS=-g -mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in off

    @pytest.mark.parametrize(
        ("backend", "option"), [(Backend.CUDA, "-DGGML_CUDA=ON"), (Backend.METAL, "-DGGML_METAL=ON")]
    )
    def test_backends(self, backend: Backend, option: str) -> None:
        assert option in recipe.cmake_arguments(backend, Amx.UNUSED, NO_OPTIONS)

    def test_the_users_options_come_last(self) -> None:
        user = UserOptions(cmake=("-DGGML_NATIVE=OFF",))
        assert recipe.cmake_arguments(Backend.CPU, Amx.UNUSED, user)[-1] == "-DGGML_NATIVE=OFF"

    def test_the_version_is_the_pinned_one(self) -> None:
        assert recipe.pinned_version(native.CONSTRAINTS)[0].isdigit()


class TestProbe:
    def test_agrees_with_the_processor(self) -> None:
        try:
            toolchain = compiler.find()
        except BuildError:
            pytest.skip("no compiler here")
        verdict = amx.probe(toolchain)
        knows_amx = "__AMX_TILE__" in toolchain.cxx.macros(())
        assert (verdict is not Amx.UNUSED) == knows_amx
        if "amx_tile" not in compiler.cpu_features().split():
            assert verdict is Amx.UNUSED

    def test_a_compiler_that_cannot_compile_the_probe_gets_no_amx(self, tmp_path: Path) -> None:
        script = 'case "$*" in *-dM*) echo "#define __AMX_TILE__ 1";; *) exit 1;; esac'
        assert amx.probe(make_toolchain(tmp_path, script)) is Amx.OFF

    @pytest.mark.parametrize(("needs_header", "expected"), [(False, Amx.WORKS), (True, Amx.REPAIRED)])
    def test_the_repair_is_for_those_who_need_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needs_header: bool, expected: Amx
    ) -> None:
        def round_trips(_: Compiler, flags: Sequence[str]) -> bool:
            return not needs_header or "-include" in flags

        monkeypatch.setattr(amx, "round_trips", round_trips)
        assert amx.probe(make_toolchain(tmp_path, 'echo "#define __AMX_TILE__ 1"')) is expected

    def test_a_missing_compiler_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(BuildError, match="no-such-compiler"):
            compiler.find()


class TestProgress:
    def test_reads_ninjas_lines(self) -> None:
        line = "  [57/83] /usr/bin/g++ -O3 -o a.o -c /tmp/x/ggml-cpu/amx/mmq.cpp"
        assert parse_step(line) == Step(57, 83, "amx/mmq.cpp")
        assert parse_step("[83/83] : && g++ -shared") == Step(83, 83, "")
        assert parse_step("-- Installing: [1/2]") is None

    def test_a_log_gets_a_line_now_and_then(self) -> None:
        now = 0.0
        stream = io.StringIO()
        progress = Progress("build", stream, clock=lambda: now)
        for second in range(25):
            now = float(second)
            progress.feed(f"[{second}/99] cc -c a/b.c")
        progress.finish("done")
        assert [line.split()[1] for line in stream.getvalue().splitlines()] == [
            "0:00",
            "0:10",
            "0:20",
            "0:24",
        ]

    def test_a_terminal_gets_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: True)
        progress = Progress("build", stream, clock=lambda: now)
        for second in range(3):
            now = float(second)
            progress.tick()
        progress.finish("done")
        assert stream.getvalue().count("\n") == 1
        assert stream.getvalue().count("\r") == 4


def test_constraints_name_no_registry() -> None:
    lines = [line for line in native.CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in lines)


def test_ci_runs_the_tests() -> None:
    script = trial.ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
