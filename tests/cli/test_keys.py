"""`caravan keys`, over a file."""

from pathlib import Path

import pytest
from caravan.auth import keys_file

from tests.cli.calling import call


def test_a_keys_limits_are_shown_as_they_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "keys.json"
    call("keys", "add", "alice", "--priority", "-3", "--max-priority", "2", "--keys-file", str(path))
    (key,) = keys_file.read(path)
    assert (key.priority, key.max_priority) == (-3, 2)
    capsys.readouterr()
    call("keys", "list", "--keys-file", str(path))
    assert "priority -3, priority up to 2" in capsys.readouterr().out
    call("keys", "add", "bob", "--max-priority", "101", "--keys-file", str(path), code=1)
    assert "max_priority" in capsys.readouterr().err


def test_who_has_used_nothing_is_told_where_it_was_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call("keys", "usage", "--usage-db", str(tmp_path / "usage.db"))
    told = capsys.readouterr()
    assert str(tmp_path) in told.err.replace("\n", "")
    assert not told.out
    call("keys", "usage", "--usage-db", "none", code=1)
    assert "--usage-db is none" in capsys.readouterr().err
