"""Our patches of llama.cpp: each is applied as a whole or left out, which the build says."""

import re
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from deploy.build import native, source
from deploy.build.recipe import Backend, UserOptions
from deploy.build.source import PatchError, Patches
from tests.deploy.fakes import make_toolchain

NAMES = tuple(sorted(path.stem for path in source.PATCHES.glob("*.patch")))
ARCHIVE = native.SOURCE / source.archive_name(source.pinned_version(native.CONSTRAINTS))
PATCH = """Why it is there.

--- a/one.c
+++ b/one.c
@@ -2,3 +2,4 @@ function
 two
-three
+THREE
+more
 four
@@ -8,2 +9,1 @@
 eight
-nine
--- a/two.c
+++ b/two.c
@@ -1,1 +1,2 @@
 first
+second
"""
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _write(folder: Path, one: list[str], two: str = "first\n") -> None:
    (folder / "one.c").write_text("".join(f"{line}\n" for line in one))
    (folder / "two.c").write_text(two)


def _lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines()


class TestApply:
    def test_makes_the_changes_of_all_files(self, tmp_path: Path) -> None:
        _write(tmp_path, NUMBERS)
        source.apply(PATCH, tmp_path)
        assert _lines(tmp_path, "one.c") == [*NUMBERS[:2], "THREE", "more", *NUMBERS[3:8]]
        assert _lines(tmp_path, "two.c") == ["first", "second"]

    def test_finds_what_other_changes_have_moved(self, tmp_path: Path) -> None:
        _write(tmp_path, ["zero", "two", *NUMBERS[:5], "new", *NUMBERS[5:]])
        source.apply(PATCH, tmp_path)
        expected = "zero two one two THREE more four five new six seven eight"
        assert _lines(tmp_path, "one.c") == expected.split()

    def test_takes_the_nearest_of_equal_places(self, tmp_path: Path) -> None:
        _write(tmp_path, ["new", *NUMBERS, *["filler"] * 9, "two", "three", "four"])
        source.apply(PATCH, tmp_path)
        assert _lines(tmp_path, "one.c").index("THREE") == 3

    @pytest.mark.parametrize("broken", ["three", "nine", "first"])
    def test_makes_none_where_one_does_not_fit(self, tmp_path: Path, broken: str) -> None:
        _write(tmp_path, [number for number in NUMBERS if number != broken], f"{broken != 'first'}\n")
        before = (_lines(tmp_path, "one.c"), _lines(tmp_path, "two.c"))
        with pytest.raises(PatchError, match=r"(one|two)\.c has changed at line \d"):
            source.apply(PATCH, tmp_path)
        assert (_lines(tmp_path, "one.c"), _lines(tmp_path, "two.c")) == before

    def test_names_a_file_that_is_gone(self, tmp_path: Path) -> None:
        _write(tmp_path, NUMBERS)
        (tmp_path / "two.c").unlink()
        with pytest.raises(PatchError, match=r"there is no two\.c"):
            source.apply(PATCH, tmp_path)


def _patched_lines() -> dict[str, dict[int, str]]:
    """Of each file that a patch changes, the lines that the patches know, by number."""
    known: dict[str, dict[int, str]] = defaultdict(dict)
    for path in source.PATCHES.glob("*.patch"):
        name, number = "", 0
        for line in path.read_text().splitlines():
            if line.startswith("+++ b/"):
                name = line.removeprefix("+++ b/")
            elif match := re.match(r"@@ -(\d+)", line):
                number = int(match[1])
            elif number and line[:1] in (" ", "-") and not line.startswith("--- a/"):
                assert known[name].setdefault(number, line[1:]) == line[1:]
                number += 1
            elif not line.startswith("+"):
                number = 0
    return known


@pytest.fixture
def llama_cpp(tmp_path: Path) -> Path:
    """A source of llama.cpp, as far as the patches know it."""
    folder = tmp_path / "source" / "llama_cpp_python-1" / source.LLAMA_CPP
    for name, lines in _patched_lines().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{lines.get(n, f'// {n}')}\n" for n in range(1, max(lines) + 4)))
    return folder


def _change(llama_cpp: Path) -> None:
    """As a newer llama.cpp could have it: one patch does not fit there."""
    path = llama_cpp / "ggml/src/ggml-cpu/llamafile/sgemm.cpp"
    path.write_text(path.read_text().replace("n < 2", "n < 3"))


def _written(llama_cpp: Path) -> str:
    return (llama_cpp / "ggml/src/ggml-cpu/caravan/patches.h").read_text()


def test_all_go_together(llama_cpp: Path) -> None:
    assert source.apply_all(llama_cpp) == Patches(NAMES, {})
    assert _written(llama_cpp) == f'#define CARAVAN_PATCHES "{",".join(NAMES)}"\n'


def test_the_others_go_without_one_that_does_not_fit(llama_cpp: Path) -> None:
    _change(llama_cpp)
    others = tuple(name for name in NAMES if name != "float-rows")
    patches = source.apply_all(llama_cpp)
    assert patches.applied == others
    assert patches.left_out.keys() == {"float-rows"}
    assert "float-rows" not in _written(llama_cpp)


@pytest.mark.parametrize("name", NAMES)
def test_each_goes_without_the_others(llama_cpp: Path, name: str) -> None:
    source.apply((source.PATCHES / f"{name}.patch").read_text(), llama_cpp)


def test_the_build_goes_on_and_says_it_once(
    llama_cpp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(llama_cpp)
    archive = tmp_path / "llama_cpp_python-1.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "source" / "llama_cpp_python-1", "llama_cpp_python-1")
    compiled: list[str] = []

    def compile_wheel(root: Path, *_: object) -> Path:
        compiled.append(_written(root / source.LLAMA_CPP))
        return tmp_path

    monkeypatch.setattr(native, "SOURCE", tmp_path / "unpacked")
    monkeypatch.setattr(source, "fetch", lambda *_: archive)
    monkeypatch.setattr(native, "compile_wheel", compile_wheel)
    toolchain = make_toolchain(tmp_path, "echo gcc")
    native._compile(native.Plan("1", Backend.CPU, toolchain, UserOptions(), "digest"), ())
    assert "attention-by-sequence" in compiled[0]
    said = [line for line in capsys.readouterr().err.splitlines() if ".patch" in line]
    assert len(said) == 1
    assert "going on without float-rows.patch" in said[0]
    assert not list((tmp_path / "unpacked").iterdir())


@pytest.mark.skipif(not ARCHIVE.exists(), reason="llama.cpp was not compiled in this checkout")
def test_all_fit_the_pinned_source(tmp_path: Path) -> None:
    root = f"{ARCHIVE.name.removesuffix('.tar.gz')}/{source.LLAMA_CPP}"
    wanted = {f"{root}/{name}" for name in _patched_lines()}
    with tarfile.open(ARCHIVE) as archive:
        members = [member for member in archive if member.name in wanted]
        archive.extractall(tmp_path, members, filter="data")
    assert source.apply_all(tmp_path / root) == Patches(NAMES, {})
