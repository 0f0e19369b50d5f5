"""What is done to an open file, and what the watch makes of it."""

import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace

import pytest
from caravan.llama import model_file
from caravan.llama.model_file import Weights, WeightsChangedError, WeightsWatch

from tests.clock import Clock

_SIZE = 4 << 20


def _content(seed: int) -> bytes:
    return bytes(seed.to_bytes(4, "little") * (_SIZE // 4))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(_content(1))
    _let_the_clock_go_on(path)
    return path


@pytest.fixture
def watch(file: Path) -> Generator[WeightsWatch, None, None]:
    opened = WeightsWatch(file)
    yield opened
    opened.close()


def _let_the_clock_go_on(file: Path) -> None:
    """Wait until what is done next gets another time: files have that of the last tick."""
    longest_tick = 10_000_000
    while time.time_ns() < file.stat().st_ctime_ns + 2 * longest_tick:
        time.sleep(0.005)


def _write(file: Path, content: bytes, place: int = 0) -> None:
    with file.open("r+b", buffering=0) as opened:
        opened.seek(place)
        opened.write(content)


def _replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(_content(2))
    new.replace(file)


HARMLESS: dict[str, Callable[[Path], object]] = {
    "touched": os.utime,
    "written again": lambda file: _write(file, _content(1)),
    "emptied and written again": lambda file: file.write_bytes(_content(1)),
    "replaced by name": _replace,
    "renamed": lambda file: file.rename(file.with_suffix(".away")),
    "deleted": lambda file: file.unlink(),
    "given other rights": lambda file: file.chmod(0o400),
}
HARMFUL: dict[str, Callable[[Path], object]] = {
    "written over": lambda file: file.write_bytes(_content(2)),
    "written to at the end": lambda file: _write(file, b"other", _SIZE - 5),
    "zeros": lambda file: _write(file, bytes(_SIZE)),
    "cut off": lambda file: os.truncate(file, _SIZE - 1),
    "emptied": lambda file: os.truncate(file, 0),
    "longer": lambda file: _write(file, b"more", _SIZE),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_step_beside_what_changes_nothing_is_suspect_once(
    watch: WeightsWatch, file: Path, name: str
) -> None:
    assert watch.look() is Weights.SOUND
    HARMLESS[name](file)
    assert watch.look() is Weights.SUSPECT
    assert watch.look() is Weights.SOUND


@pytest.mark.parametrize("name", HARMFUL)
def test_other_content_is_told(watch: WeightsWatch, file: Path, name: str) -> None:
    assert watch.look() is Weights.SOUND
    HARMFUL[name](file)
    with pytest.raises(WeightsChangedError):
        watch.look()


def test_a_time_that_is_set_back_hides_nothing(watch: WeightsWatch, file: Path) -> None:
    before = file.stat()
    _write(file, _content(2))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsChangedError):
        watch.look()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_that_is_being_written_is_waited_for(
    watch: WeightsWatch, file: Path, seed: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has been written first is like what was there; another piece comes whenever the watch waits."""
    piece = _SIZE // 16
    left = [(number, _content(1 if number < 12 else seed)[:piece]) for number in range(16)]

    def write_one(seconds: float = 0.0) -> None:
        clock.now += seconds
        if left:
            number, content = left.pop(0)
            _write(file, content, number * piece)
            os.utime(file, ns=(number, number))

    monkeypatch.setattr(model_file, "time", SimpleNamespace(monotonic=clock, sleep=write_one))
    write_one()
    if seed == 1:
        assert watch.look() is Weights.SUSPECT
    else:
        with pytest.raises(WeightsChangedError):
            watch.look()
    assert left == []


def test_all_parts_are_watched(tmp_path: Path) -> None:
    parts = [tmp_path / f"model-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(_content(1))
    _let_the_clock_go_on(parts[1])
    watch = WeightsWatch(parts[0])
    assert watch.look() is Weights.SOUND
    _write(parts[1], b"other", 100)
    with pytest.raises(WeightsChangedError):
        watch.look()
    watch.close()


def test_a_file_that_is_not_there_is_for_others_to_tell(tmp_path: Path) -> None:
    watch = WeightsWatch(tmp_path / "none.gguf")
    assert watch.look() is Weights.SOUND
    watch.close()
