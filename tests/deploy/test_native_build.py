"""What the native build finds out, which options it takes, under which digest the result is kept."""

import io
import os
import sys
import time
from pathlib import Path

import pytest

from deploy.build import compile as compiling
from deploy.build import native, recipe, source, toolchain, wheels
from deploy.build.compile import Progress
from deploy.build.recipe import Backend, UserOptions
from deploy.build.toolchain import BuildError
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
        compilers = make_toolchain(tmp_path, "echo gcc")
        here = recipe.digest("1.0", Backend.CPU, compilers, NO_OPTIONS)
        monkeypatch.setattr(toolchain, "cpu_features", lambda: "sse2")
        assert recipe.digest("1.0", Backend.CPU, compilers, NO_OPTIONS) != here

    def test_names_the_patches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        compilers = make_toolchain(tmp_path, "echo gcc")
        here = recipe.digest("1.0", Backend.CPU, compilers, NO_OPTIONS)
        monkeypatch.setattr(source, "files_of_patches", list)
        assert recipe.digest("1.0", Backend.CPU, compilers, NO_OPTIONS) != here

    def test_is_the_same_for_the_same(self, tmp_path: Path) -> None:
        compilers = make_toolchain(tmp_path, "echo gcc")
        digests = {recipe.digest("1.0", Backend.CPU, compilers, NO_OPTIONS) for _ in range(2)}
        assert len(digests) == 1


class TestOptions:
    def test_the_users_flags_are_kept_apart(self) -> None:
        options = recipe.user_options(
            {"CFLAGS": "-g", "CMAKE_ARGS": "-DGGML_BLAS=ON -D CMAKE_CXX_FLAGS:STRING='-O1 -g' -GNinja"}
        )
        assert options == UserOptions(("-DGGML_BLAS=ON", "-GNinja"), ("-g",), ("-O1", "-g"))

    def test_no_flags_are_added_where_nobody_asks_for_any(self) -> None:
        arguments = recipe.cmake_arguments(Backend.CPU, NO_OPTIONS)
        assert not [argument for argument in arguments if "_FLAGS" in argument]
        assert "-DGGML_NATIVE=ON" in arguments

    def test_ours_join_the_users_flags(self) -> None:
        user = UserOptions(cxx_flags=("-g",))
        arguments = recipe.cmake_arguments(Backend.CPU, user, recipe.WITHOUT_AMX)
        assert "-DCMAKE_C_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in arguments
        assert "-DCMAKE_CXX_FLAGS=-g -mno-amx-tile -mno-amx-int8 -mno-amx-bf16" in arguments

    @pytest.mark.parametrize(
        ("backend", "option"), [(Backend.CUDA, "-DGGML_CUDA=ON"), (Backend.METAL, "-DGGML_METAL=ON")]
    )
    def test_backends(self, backend: Backend, option: str) -> None:
        assert option in recipe.cmake_arguments(backend, NO_OPTIONS)

    def test_the_users_options_come_last(self) -> None:
        user = UserOptions(cmake=("-DGGML_NATIVE=OFF",))
        assert recipe.cmake_arguments(Backend.CPU, user)[-1] == "-DGGML_NATIVE=OFF"

    def test_the_version_is_the_pinned_one(self) -> None:
        assert source.pinned_version(native.CONSTRAINTS)[0].isdigit()


class TestToolchain:
    def test_finds_what_is_there(self) -> None:
        try:
            found = toolchain.find()
        except BuildError:
            pytest.skip("no compiler here")
        assert found.cxx.identity
        if "amx_tile" not in toolchain.cpu_features().split():
            assert not found.has_amx

    def test_a_missing_compiler_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(BuildError, match="no-such-compiler"):
            toolchain.find()


class TestProgress:
    def test_a_log_gets_a_line_now_and_then(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        stream = io.StringIO()
        monkeypatch.setattr(time, "monotonic", lambda: now)
        progress = Progress("build", stream)
        progress.feed("-- Installing: [1/2]\n")
        for second in range(25):
            now = float(second)
            progress.feed(f"  [{second}/99] cc -o a.o -c /tmp/x/ggml/amx/mmq.cpp\n")
        progress.finish("done")
        assert stream.getvalue().splitlines() == [
            "build  0:00  [0/99] amx/mmq.cpp",
            "build  0:10  [10/99] amx/mmq.cpp",
            "build  0:20  [20/99] amx/mmq.cpp",
            "build  0:24  done",
        ]

    def test_a_terminal_gets_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: True)
        monkeypatch.setattr(time, "monotonic", lambda: now)
        progress = Progress("build", stream)
        for second in range(3):
            now = float(second)
            progress.feed(f"[{second}/3] cc")
        progress.finish("done")
        assert stream.getvalue().count("\n") == 1
        assert stream.getvalue().count("\r") == 4

    def test_a_failure_says_the_last_lines_and_where_the_rest_is(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "print('no such header'); raise SystemExit(3)"]
        with pytest.raises(BuildError, match=r"no such header\n\n.*native\.log"):
            compiling.run("llama.cpp", [command, ["never"]], os.environ, tmp_path / "native.log")
        assert (tmp_path / "native.log").read_text() == "no such header\n"


def test_constraints_name_no_registry() -> None:
    lines = [line for line in native.CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and " " not in line for line in lines)


def test_ci_runs_the_tests() -> None:
    script = wheels.ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("make test")
