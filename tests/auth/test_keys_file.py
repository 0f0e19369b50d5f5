"""The file of keys, and the ring that watches it."""

import errno
import json
import logging
import math
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from caravan.auth import key_store, keys_file
from caravan.auth.key_store import KeyStore
from caravan.auth.keys_file import KeyFileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.json"


def test_a_key_is_shown_once_and_kept_as_a_hash(path: Path) -> None:
    token = keys_file.add(path, name="alice", tokens_per_minute=100)
    (key,) = keys_file.read(path)
    assert token.startswith("sk-caravan-")
    assert token not in path.read_text()
    assert (key.name, key.role, key.tokens_per_minute) == ("alice", "user", 100)
    assert key.hash == keys_file.digest(token)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("models", [("",), ("a", ""), ["", ""]])
def test_a_model_without_a_name_is_no_model(path: Path, models: object) -> None:
    with pytest.raises(KeyFileError, match="models: the name of a model is empty"):
        keys_file.add(path, name="alice", models=models)
    assert keys_file.read(path) == ()


def test_names_are_unique_and_revoked_ones_free(path: Path) -> None:
    first = keys_file.add(path, name="alice")
    with pytest.raises(KeyFileError, match="already"):
        keys_file.add(path, name="alice")
    keys_file.revoke(path, "alice")
    with pytest.raises(KeyFileError, match="no key 'alice'"):
        keys_file.revoke(path, "alice")
    assert keys_file.add(path, name="alice") != first


@pytest.mark.parametrize(
    "fields",
    [{"name": "a b"}, {"name": ""}, {"name": "a", "weight": 0}, {"name": "a", "requests_per_minute": 0}],
)
def test_what_makes_no_sense_is_refused(path: Path, fields: dict[str, object]) -> None:
    with pytest.raises(KeyFileError, match=r"^(name: up to 64 letters|weight: |requests_per_minute: )"):
        keys_file.add(path, **fields)
    assert not path.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": [{"name": "a"}]}', '{"keys": [], "kes": []}'])
def test_a_file_that_makes_no_sense_says_where(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        keys_file.read(path)


def test_the_ring_follows_the_file(path: Path) -> None:
    ring = KeyStore(path, anonymous="before keys")
    assert not ring.current()
    assert ring.is_open()
    alice, bob = keys_file.add(path, name="alice"), keys_file.add(path, name="bob")
    assert [found.name for token in (alice, bob) if (found := ring.find(token))] == ["alice", "bob"]
    assert ring.find(alice + "x") is None
    keys_file.revoke(path, "alice")
    assert ring.find(alice) is None
    assert ring.find(bob) is not None
    assert not ring.is_open()


@pytest.mark.parametrize("end", ["revoke", "delete", "empty", "break", "folder"])
def test_what_has_had_keys_stays_closed(path: Path, end: str) -> None:
    """For as long as the server lives, and when another is started over what is left."""
    ring = KeyStore(path, anonymous="before keys")
    assert ring.is_open()
    token = keys_file.add(path, name="alice")
    assert ring.find(token) is not None
    if end == "revoke":
        keys_file.revoke(path, "alice")
    elif end == "delete":
        path.unlink()
    elif end == "empty":
        path.write_text('{"keys": []}')
    elif end == "break":
        path.write_text("")
    else:
        path.unlink()
        path.mkdir()
    assert not ring.is_open()
    assert (ring.find(token) is not None) is (end in ("break", "folder"))
    if end in ("break", "folder"):
        with pytest.raises(KeyFileError):
            KeyStore(path, anonymous="before keys")
    else:
        assert not KeyStore(path, anonymous="before keys").is_open()
        assert KeyStore(path, anonymous="always").is_open()


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_key_that_came_and_went_unseen_closes_all_the_same(path: Path, *, is_deleted: bool) -> None:
    ring = KeyStore(path, anonymous="before keys")
    keys_file.add(path, name="alice")
    keys_file.revoke(path, "alice")
    if is_deleted:
        path.unlink()
    assert not ring.is_open()


def test_where_keys_are_named_it_is_never_open(path: Path) -> None:
    assert not KeyStore(path).is_open()
    assert not KeyStore(None, (keys_file.operator_key("secret"),), anonymous="before keys").is_open()


def test_a_file_that_could_not_be_read_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not changed since, so nothing else would tell that a key was revoked."""
    alice, bob = keys_file.add(path, name="alice"), keys_file.add(path, name="bob")
    ring = KeyStore(path)
    keys_file.revoke(path, "alice")
    read_bytes = Path.read_bytes

    def fail(_path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert ring.find(alice) is not None
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(key_store, "time", SimpleNamespace(monotonic=lambda: math.inf))
    assert ring.find(alice) is None
    assert ring.find(bob) is not None


def test_ids_are_those_of_one_key_alone(path: Path) -> None:
    keys_file.add(path, name="alice")
    (first,) = keys_file.read(path)
    keys_file.revoke(path, "alice")
    keys_file.add(path, name="alice")
    (second,) = keys_file.read(path)
    assert first.id != second.id
    assert keys_file.operator_key("a").id != keys_file.operator_key("b").id
    assert first.model_copy(update={"name": "alicia"}).id == first.id


def test_keys_made_and_revoked_at_once_are_all_minded(path: Path) -> None:
    keys_file.add(path, name="old")
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(keys_file.add, path, name=f"new{number}") for number in range(16)]
        pool.submit(keys_file.revoke, path, "old").result()
        for future in made:
            future.result()
    assert {key.name for key in keys_file.read(path)} == {f"new{number}" for number in range(16)}


def test_two_keys_may_not_be_one(path: Path) -> None:
    keys_file.add(path, name="alice")
    document = json.loads(path.read_text())
    document["keys"].append({**document["keys"][0], "name": "bob"})
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError, match="same hash"):
        keys_file.read(path)


def test_a_file_that_was_broken_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = keys_file.add(path, name="alice")
    ring = KeyStore(path)
    path.write_text(json.dumps({"keys": "none"}))
    with caplog.at_level(logging.ERROR):
        assert ring.find(token) is not None
        assert ring.find(token) is not None
    assert caplog.text.count("keys stay as they were") == 1


def test_the_operators_own_key_is_an_administrators() -> None:
    ring = KeyStore(None, (keys_file.operator_key("secret"),))
    found = ring.find("secret")
    assert found is not None
    assert found.role == "admin"
    assert ring.find("other") is None


def test_a_first_key_that_cannot_be_written_closes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = KeyStore(path, anonymous="before keys")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(KeyFileError, match="No space left"):
            keys_file.add(path, name="a", role="user")
    assert ring.is_open()
    assert not list(path.parent.iterdir())
    keys_file.add(path, name="a", role="user")
    assert not ring.is_open()


def test_a_pipe_is_no_file_of_keys(path: Path) -> None:
    """Reading one would wait for ever for somebody who writes."""
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(KeyFileError, match="no plain file"):
        keys_file.read(path)
