"""Files of chunks: whole or not there, nobody else's to read, and never more than may be."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caravan.engine.kv.disk import chunk_file
from caravan.engine.kv.disk import folder as module
from caravan.engine.kv.disk.chunk_file import Head
from caravan.engine.kv.disk.chunks import Chunk, chunk_after
from caravan.engine.kv.disk.folder import Body, ChunkFolder

from tests.waiting import PATIENCE

ROOT, OTHER_ROOT = bytes(16), bytes(15) + b"\1"
MANY = 1 << 30
# A file of a body of this size takes two blocks of 4,096 bytes.
BODY: Body = np.arange(5000, dtype=np.uint8)
FILE_BYTES = 8192


def chunk(number: int) -> Chunk:
    return chunk_after(ROOT, 0, [number, number + 1, 7])


def with_files(base: Path, *numbers: int, max_bytes: int = MANY) -> ChunkFolder:
    folder = ChunkFolder.open(base, ROOT, max_bytes)
    assert all(folder.write(chunk(number), BODY) for number in numbers)
    return folder


def file_of(base: Path, number: int) -> Path:
    return base / ROOT.hex() / f"{chunk(number).name.hex()}.kv"


def known(base: Path) -> list[Chunk]:
    """What another process finds there."""
    return [head.chunk for head in ChunkFolder.open(base, ROOT, MANY).heads()]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    with_files(tmp_path, 1, 2)
    assert sorted(known(tmp_path), key=lambda found: found.tokens) == [chunk(1), chunk(2)]
    body = ChunkFolder.open(tmp_path, ROOT, MANY).read(chunk(1).name)
    assert body is not None
    assert np.array_equal(body, BODY)
    assert ChunkFolder.open(tmp_path, OTHER_ROOT, MANY).read(chunk(1).name) is None


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with_files(tmp_path / "new" / "folder", 1)
    finally:
        os.umask(before)
    modes = {
        path.suffix or path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "new" / "folder", *(tmp_path / "new" / "folder").rglob("*"))
    }
    assert modes == {"folder": 0o700, ROOT.hex(): 0o700, ".kv": 0o600}


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / ROOT.hex()).mkdir(mode=0o755)
    with_files(tmp_path, 1)
    assert stat.S_IMODE((tmp_path / ROOT.hex()).stat().st_mode) == 0o700


def test_a_folder_that_is_somewhere_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ROOT.hex()).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="somebody else's"):
        ChunkFolder.open(tmp_path, ROOT, MANY)


@pytest.mark.parametrize("keeps", [0, 10, chunk_file.HEAD_SIZE, chunk_file.HEAD_SIZE + 12, 5000])
def test_a_torn_file_is_removed(tmp_path: Path, keeps: int) -> None:
    with_files(tmp_path, 1, 2)
    os.truncate(file_of(tmp_path, 1), keeps)
    folder = ChunkFolder.open(tmp_path, ROOT, MANY)
    assert [head.chunk for head in folder.heads()] == [chunk(2)]
    assert folder.num_bad_files == 1
    assert not file_of(tmp_path, 1).exists()


@pytest.mark.parametrize("place", [0, 12, 40, chunk_file.HEAD_SIZE + 2, chunk_file.HEAD_SIZE + 100, -1])
def test_a_file_with_another_byte_is_removed(tmp_path: Path, place: int) -> None:
    folder = with_files(tmp_path, 1)
    content = bytearray(file_of(tmp_path, 1).read_bytes())
    content[place] ^= 1
    file_of(tmp_path, 1).write_bytes(content)
    assert folder.read(chunk(1).name) is None
    assert not file_of(tmp_path, 1).exists()


def test_a_file_of_an_older_form_or_of_others_is_removed(tmp_path: Path) -> None:
    with_files(tmp_path, 1, 2)
    old = file_of(tmp_path, 1)
    old.write_bytes(old.read_bytes().replace(b"caravan-kv-2", b"caravan-kv-1"))
    (old.parent / "notes.txt").write_text("foreign")
    file_of(tmp_path, 2).rename(file_of(tmp_path, 3))
    assert known(tmp_path) == []
    assert list(old.parent.iterdir()) == []


def test_what_is_longer_than_it_was_is_removed(tmp_path: Path) -> None:
    with_files(tmp_path, 1)
    with file_of(tmp_path, 1).open("ab") as file:
        file.write(b"more")
    assert known(tmp_path) == []


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    folder = with_files(tmp_path, 1, 2, 3, max_bytes=4 * FILE_BYTES)
    for seconds, number in enumerate((2, 1, 3), start=1000):
        os.utime(file_of(tmp_path, number), (seconds, seconds))
    folder.touch([chunk(2).name])
    assert folder.write(chunk(4), BODY)
    assert folder.write(chunk(5), BODY)
    assert {found.tokens for found in known(tmp_path)} == {chunk(n).tokens for n in (2, 4, 5)}
    assert set(folder.take_evicted()) == {chunk(n).name for n in (1, 3)}
    assert folder.num_bytes == 3 * FILE_BYTES


def test_the_end_of_a_text_goes_before_its_beginning(tmp_path: Path) -> None:
    folder = with_files(tmp_path, 1, 2, 3, max_bytes=3 * FILE_BYTES)
    folder.touch([chunk(n).name for n in (1, 2, 3)])
    assert folder.write(chunk(4), BODY)
    assert file_of(tmp_path, 1).exists()
    assert not file_of(tmp_path, 3).exists()


def test_nothing_makes_room_for_what_was_used_before_it(tmp_path: Path) -> None:
    folder = ChunkFolder.open(tmp_path, ROOT, 4 * FILE_BYTES)
    for number in (1, 2, 3, 4):
        assert folder.write(chunk(number), BODY, number * 1000)
    were_full = [folder.is_full]
    assert not folder.write(chunk(5), BODY, 500)
    were_full.append(folder.is_full)
    assert all(file_of(tmp_path, number).exists() for number in (1, 2, 3, 4))
    folder.touch([chunk(1).name], 5000)
    folder.touch([chunk(4).name], 1)
    assert folder.write(chunk(5), BODY, 3500)
    assert [*were_full, folder.is_full] == [False, True, False]
    assert {found.tokens for found in known(tmp_path)} == {chunk(n).tokens for n in (1, 4, 5)}


def test_what_was_used_by_a_wrong_clock_goes_first(tmp_path: Path) -> None:
    folder = with_files(tmp_path, 1, 2, 3, max_bytes=3 * FILE_BYTES)
    for number in (1, 2, 3):
        os.utime(file_of(tmp_path, number), (1 << 33, 1 << 33))
    folder.touch([chunk(2).name])
    assert folder.write(chunk(4), BODY)
    assert {found.tokens for found in known(tmp_path)} == {chunk(n).tokens for n in (2, 4)}


def test_one_bound_holds_for_all_models(tmp_path: Path) -> None:
    with_files(tmp_path, 1, 2)
    for number in (1, 2):
        os.utime(file_of(tmp_path, number), (1000 + number, 1000 + number))
    other = ChunkFolder.open(tmp_path, OTHER_ROOT, 3 * FILE_BYTES)
    assert other.num_bytes == 2 * FILE_BYTES
    assert all(other.write(chunk(number), BODY) for number in (5, 6))
    assert sum(1 for _ in tmp_path.rglob("*.kv")) <= 3
    assert not file_of(tmp_path, 1).exists()
    assert other.take_evicted() == []


def test_what_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    theirs = [tmp_path / "work" / "theirs.kv", tmp_path / "theirs.kv"]
    for path in theirs:
        path.write_bytes(bytes(FILE_BYTES))
        os.utime(path, (1, 1))
    with_files(tmp_path, 1, 2, 3, max_bytes=2 * FILE_BYTES)
    assert all(path.exists() for path in theirs)


def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    theirs = [elsewhere / "theirs.kv", elsewhere / "theirs.part"]
    for path in theirs:
        path.write_bytes(bytes(FILE_BYTES))
        os.utime(path, (1, 1))
    (base / OTHER_ROOT.hex()).symlink_to(elsewhere)
    folder = with_files(base, 1, 2, 3, max_bytes=2 * FILE_BYTES)
    assert folder.num_bytes <= 2 * FILE_BYTES
    assert all(path.exists() for path in theirs)


def test_nothing_waits_for_what_is_no_file(tmp_path: Path) -> None:
    folder = with_files(tmp_path, 1, 2, 3)
    for number in (1, 2):
        file_of(tmp_path, number).unlink()
    os.mkfifo(file_of(tmp_path, 1))
    os.mkfifo(file_of(tmp_path, 1).with_name("pipe.part"))
    file_of(tmp_path, 2).symlink_to(file_of(tmp_path, 3))
    (file_of(tmp_path, 1).parent / "folder.kv").mkdir()
    assert folder.read(chunk(1).name) is folder.read(chunk(2).name) is None
    os.mkfifo(file_of(tmp_path, 1))
    assert known(tmp_path) == [chunk(3)]


def test_what_was_left_unfinished_for_another_model_goes(tmp_path: Path) -> None:
    ChunkFolder.open(tmp_path, OTHER_ROOT, MANY)
    left = tmp_path / OTHER_ROOT.hex() / "0.part"
    left.write_bytes(bytes(FILE_BYTES))
    ChunkFolder.open(tmp_path, ROOT, MANY)
    assert not left.exists()


def test_what_is_larger_than_everything_may_be_is_not_written(tmp_path: Path) -> None:
    assert not ChunkFolder.open(tmp_path, ROOT, FILE_BYTES - 1).write(chunk(1), BODY)
    assert known(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES])
@pytest.mark.parametrize("fails", ["open", "head", "body"])
def test_what_cannot_be_read_now_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, fails: str
) -> None:
    """It may be sound: the disk, or a limit of this process, may let it be read again."""
    folder = with_files(tmp_path, 1)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        if fails == "open":
            patch.setattr(module, "_opened", fail)
        elif fails == "head":
            patch.setattr(module, "read_head", fail)
        else:
            patch.setattr(Head, "check", fail)
        with pytest.raises(OSError, match=os.strerror(code)):
            folder.read(chunk(1).name)
        if fails != "body":
            assert known(tmp_path) == []
    assert folder.num_bad_files == 0
    assert folder.read(chunk(1).name) is not None
    assert known(tmp_path) == [chunk(1)]


def test_nothing_is_written_into_a_folder_that_is_not_ours_any_more(tmp_path: Path) -> None:
    folder = with_files(tmp_path / "base", 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ours = tmp_path / "base" / ROOT.hex()
    ours.rename(tmp_path / "away")
    ours.symlink_to(elsewhere)
    assert not folder.write(chunk(2), BODY)
    assert folder.is_failing
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "told"), [(0o700, False), (0o755, False), (0o777, True), (0o1777, False), (0o707, True)]
)
def test_it_is_told_where_others_may_put_their_own_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, *, told: bool
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(mode)
    ChunkFolder.open(above / "base", ROOT, MANY)
    assert (f"everybody may write to {above}," in caplog.text) == told


def test_a_disk_that_fails_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = with_files(tmp_path / "base", 1)
    shutil.rmtree(tmp_path / "base")
    assert not folder.write(chunk(2), BODY)
    assert not folder.write(chunk(3), BODY)
    assert folder.read(chunk(1).name) is None
    assert folder.num_bad_files == 0
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def test_a_folder_that_was_emptied_is_filled_again(tmp_path: Path) -> None:
    folder = with_files(tmp_path, 1)
    shutil.rmtree(tmp_path / ROOT.hex())
    assert folder.read(chunk(1).name) is None
    assert folder.write(chunk(2), BODY)
    assert known(tmp_path) == [chunk(2)]
    assert stat.S_IMODE((tmp_path / ROOT.hex()).stat().st_mode) == 0o700


# Writes one file, and another of which all is there but its name.
_KILLED = """
import sys, os, time
from pathlib import Path
import numpy as np
from caravan.engine.kv.disk.chunks import chunk_after
from caravan.engine.kv.disk.folder import ChunkFolder
folder = ChunkFolder.open(Path(sys.argv[1]), bytes(16), 1 << 30)
folder.write(chunk_after(bytes(16), 0, [1, 2, 7]), np.arange(5000, dtype=np.uint8))
def wait(*_):
    print("writing", flush=True)
    time.sleep(1000)
Path.rename = wait
folder.write(chunk_after(bytes(16), 0, [2, 3, 7]), np.arange(5000, dtype=np.uint8))
"""


def test_a_process_that_is_killed_while_it_writes_loses_that_file_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert known(tmp_path) == [chunk(1)]
        assert sum(1 for _ in tmp_path.rglob("*.part")) == 1, "what is being written stays"
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    assert known(tmp_path) == [chunk(1)]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".kv"}
