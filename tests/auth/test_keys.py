"""The file of keys, and the ring that watches it."""

import json
import logging
import stat
from pathlib import Path

import pytest

from server.auth import keys
from server.auth.key_ring import KeyRing
from server.auth.keys import KeyFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.json"


def test_a_key_is_shown_once_and_kept_as_a_hash(path: Path) -> None:
    token = keys.add(path, name="alice", tokens_per_minute=100)
    (key,) = keys.read(path)
    assert token.startswith("sk-caravan-")
    assert token not in path.read_text()
    assert (key.name, key.role, key.tokens_per_minute) == ("alice", "user", 100)
    assert key.hash == keys.digest(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_names_are_unique_and_revoked_ones_free(path: Path) -> None:
    first = keys.add(path, name="alice")
    with pytest.raises(KeyFileError, match="already"):
        keys.add(path, name="alice")
    keys.revoke(path, "alice")
    with pytest.raises(KeyFileError, match="no key 'alice'"):
        keys.revoke(path, "alice")
    assert keys.add(path, name="alice") != first


@pytest.mark.parametrize(
    "fields",
    [{"name": "a b"}, {"name": ""}, {"name": "a", "weight": 0}, {"name": "a", "requests_per_minute": 0}],
)
def test_what_makes_no_sense_is_refused(path: Path, fields: dict[str, object]) -> None:
    with pytest.raises(KeyFileError):
        keys.add(path, **fields)
    assert not path.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": [{"name": "a"}]}', '{"keys": [], "kes": []}'])
def test_a_file_that_makes_no_sense_says_where(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        keys.read(path)


def test_the_ring_follows_the_file(path: Path) -> None:
    ring = KeyRing(path)
    assert not ring.current()
    alice, bob = keys.add(path, name="alice"), keys.add(path, name="bob")
    assert [found.name for token in (alice, bob) if (found := ring.find(token))] == ["alice", "bob"]
    assert ring.find(alice + "x") is None
    keys.revoke(path, "alice")
    assert ring.find(alice) is None
    assert ring.find(bob) is not None


def test_a_file_that_was_broken_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = keys.add(path, name="alice")
    ring = KeyRing(path)
    path.write_text(json.dumps({"keys": "none"}))
    with caplog.at_level(logging.ERROR):
        assert ring.find(token) is not None
        assert ring.find(token) is not None
    assert caplog.text.count("keys stay as they were") == 1


def test_the_operators_own_key_is_an_administrators() -> None:
    ring = KeyRing(None, (keys.operator_key("secret"),))
    found = ring.find("secret")
    assert found is not None
    assert found.role == "admin"
    assert ring.find("other") is None
