"""The file of keys: who may use the server, and how much. It holds hashes, never a key."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Role = Literal["user", "admin"]

_NAMES = "up to 64 letters, digits, '.', '_' and '-', the first a letter or a digit"
_PREFIX = "sk-caravan-"
_NUM_SECRET_BYTES = 32


class KeyFileError(Exception):
    """The file of keys cannot be read or written, or a change to it makes no sense."""


class Key(BaseModel):
    """One key. Limits that are null are none.

    `name` is for people; what a key owns, it owns by its `id`, so that a later key of the same name finds
    none of it. `models` are names or aliases; null allows all. `priority` and `weight` order the queue,
    and requests may ask for a priority up to `max_priority`, or the key's own where that is higher or null.
    `cache_group` names the keys whose prefixes in memory are shared; null keeps a key's prefixes to itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    hash: str = Field(pattern="^[0-9a-f]{64}$")
    role: Role = "user"
    created: str = ""
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    concurrent_requests: PositiveInt | None = None
    models: tuple[str, ...] | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    max_priority: int | None = Field(default=None, ge=-100, le=100)
    weight: PositiveFloat = Field(default=1.0, le=1000)
    cache_group: Name | None = None

    @property
    def id(self) -> str:
        """An id that no other key has, neither before nor after this one."""
        return f"key_{self.hash[:24]}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


def digest(token: str) -> str:
    """Hash a key. Keys are 256 random bits, so one round of SHA-256 is as hard to guess as they are."""
    return hashlib.sha256(token.encode()).hexdigest()


def operator_key(token: str) -> Key:
    """Make an administrator's key that is in no file, of the value of `--api-key`."""
    return Key(name="operator", hash=digest(token), role="admin")


def read(path: Path) -> tuple[Key, ...]:
    """Read the keys of a file; there are none where there is no file. Raises KeyFileError."""
    try:
        if path.exists() and not path.is_file():
            raise KeyFileError(f"cannot read {path}: it is no plain file")
        keys = TypeAdapter(_File).validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise KeyFileError(f"{path}: {place or 'the file'}: {fault['msg']}") from error
    for what in ("name", "hash"):
        if len({getattr(key, what) for key in keys}) < len(keys):
            raise KeyFileError(f"{path}: two keys have the same {what}")
    return tuple(keys)


def have_been(path: Path) -> bool:
    """Say whether there is a file of keys, with keys in it or not, or has been one."""
    return any(map(_may_exist, signs(path)))


def signs(path: Path) -> tuple[Path, Path]:
    """Return what tells of a file of keys: the file, and its lock, which stays."""
    return path, _lock_path(path)


def add(path: Path, **fields: object) -> str:
    """Make a key with a new name; returns it, for the only time. Raises KeyFileError."""
    models = fields.get("models")
    if isinstance(models, Sequence) and not all(models):
        raise KeyFileError("models: the name of a model is empty")
    token = _PREFIX + secrets.token_urlsafe(_NUM_SECRET_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        key = Key.model_validate({**fields, "hash": digest(token), "created": created})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        is_name = fault["type"] == "string_pattern_mismatch"
        raise KeyFileError(f"{fault['loc'][0]}: {_NAMES if is_name else fault['msg']}") from error
    with _changing(path):
        keys = read(path)
        if any(known.name == key.name for known in keys):
            raise KeyFileError(f"there is a key '{key.name}' already; revoke it first")
        _write(path, [*keys, key])
    return token


def revoke(path: Path, name: str) -> int:
    """Remove a key; a running server takes no more requests with it. Says how many are left.

    Raises KeyFileError.
    """
    if not any(key.name == name for key in read(path)):
        raise KeyFileError(f"there is no key '{name}' in {path}")
    with _changing(path):
        kept = [key for key in read(path) if key.name != name]
        _write(path, kept)
    return len(kept)


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _may_exist(path: Path) -> bool:
    """Whether there is something at a place; a place that cannot be looked at counts."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One change at a time, so that none brings back a key that another has just revoked.

    The file with the lock stays: it tells that there have been keys, even when theirs has been deleted. Where
    the first one cannot be made, it does not.
    """
    is_first = not have_been(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise KeyFileError(f"cannot write {_lock_path(path)}: {error.strerror}") from error
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        except BaseException:
            if is_first and not _may_exist(path):
                _lock_path(path).unlink(missing_ok=True)
            raise


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file at once, so that nobody reads half of it; only its owner may read it."""
    document = json.dumps({"keys": [key.model_dump(exclude_defaults=True) for key in keys]}, indent=2)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(document + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
