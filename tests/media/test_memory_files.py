"""Folders of embeddings: whose they are, and what becomes of those that nobody has."""

import stat
from pathlib import Path

from caravan.media.memory_files import MemoryFolder, remove_abandoned


def test_a_folder_is_its_user_s_alone_and_goes_with_its_server(tmp_path: Path) -> None:
    folder = MemoryFolder(0, tmp_path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    first, second = Path(folder.new_path()), Path(folder.new_path())
    assert first != second
    first.touch()
    folder.close()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_removed_and_what_others_have_is_not(tmp_path: Path) -> None:
    mine = MemoryFolder(0, tmp_path)
    left = tmp_path / "caravan-media-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "embeddings").touch()
    young = tmp_path / "caravan-media-young"
    young.mkdir()
    other = MemoryFolder(0, tmp_path)
    assert not left.exists()
    # It has no lock yet: its server is just making it.
    assert young.exists()
    assert mine.path.exists()
    other.close()
    remove_abandoned(tmp_path)
    assert mine.path.exists()
    mine.close()


def test_links_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (tmp_path / "caravan-media-link").symlink_to(elsewhere)
    remove_abandoned(tmp_path)
    assert (elsewhere / "lock").exists()
